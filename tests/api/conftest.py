"""What the tests of the HTTP face share."""

import io
import zipfile

import pytest
from starlette.testclient import TestClient

from serve_app.api import create_app


@pytest.fixture(scope="module")
def client(pipeline, settings):
    """The whole app in this process, with the demo model."""
    with TestClient(create_app(pipeline, settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def zipped():
    """`zipped({name: content})`: bytes of a zip archive."""

    def pack(files):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in files.items():
                made.writestr(name, content)
        return archive.getvalue()

    return pack
