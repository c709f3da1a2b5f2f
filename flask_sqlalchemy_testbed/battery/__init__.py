"""The battery: every known way a binding or a session goes wrong, as checks of any Flask app.

pytest --pyargs flask_sqlalchemy_testbed.battery --testbed-app app:create_app
"""
