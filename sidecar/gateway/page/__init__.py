"""The web page of the gateway: its files, and the JSON that they ask for.

The files hold nothing of anybody's and need no token; whatever they ask for does.
"""
