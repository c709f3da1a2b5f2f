"""The battery: every known way a binding or a session goes wrong, as checks of any Flask app.

pytest --pyargs testbed.battery --app app:create_app --session app.database:db_session
"""
