"""Pages for people, one module per noun beside the API's: same noun in web/, templates/, store/ and app.css.

A page works as plain links and forms; htmx only asks for the part that changes.
"""

from quart import Quart

from web import format as formats
from web.pages.batches import routes as batches
from web.pages.evals import routes as evals
from web.pages.exchanges import routes as exchanges
from web.pages.failures import routes as failures
from web.pages.jobs import routes as jobs
from web.pages.keys import routes as keys
from web.pages.projects import routes as projects
from web.pages.theme import routes as theme


def register(app: Quart) -> None:
    """Add the pages and what their templates need."""
    formats.register(app)
    for blueprint in (exchanges, batches, evals, failures, jobs, keys, projects, theme):
        app.register_blueprint(blueprint)
