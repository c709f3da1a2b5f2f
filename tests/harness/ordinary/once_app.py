"""The app is a global of a module that can be imported once."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from metrics import Counter

requests = Counter("shop_requests_of_app")
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", "sqlite:///shop.db")
db = SQLAlchemy(app)
