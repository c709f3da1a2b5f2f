"""Run the command: `python -m flask_sqlalchemy_testbed`."""

from flask_sqlalchemy_testbed.command import command

if __name__ == "__main__":
    command()
