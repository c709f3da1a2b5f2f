from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

factory = sessionmaker()
session = scoped_session(factory)


class Base(DeclarativeBase):
    pass


def init_app(app):
    engine = create_engine(app.config["DATABASE_URL"], pool_pre_ping=True)
    factory.configure(bind=engine)

    @app.teardown_appcontext
    def remove_session(exception=None):
        session.remove()

    @app.cli.command("create-tables")
    def create_tables():
        Base.metadata.create_all(engine)
