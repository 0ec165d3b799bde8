"""What holds for every form."""

import importlib

import pytest

from serve_app.errors import NotAcceptable, NotInstalled
from serve_app.rendering import MEDIA_TYPES, picture, render


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_every_form_says_that_nobody_reviewed_it(predicted, media_type):
    content = render(predicted.result, predicted.recording, media_type)
    if media_type in {"application/pdf", "image/png"}:  # compressed; their SVG says it
        assert content.startswith((b"%PDF-", b"\x89PNG"))
        return
    assert b"not reviewed" in content
    assert b"esearch use only" in content


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_every_form_can_be_had_of_one_lead_and_no_model(single_lead, media_type):
    assert render(single_lead.result, single_lead.recording, media_type)


@pytest.mark.parametrize("media_type", ["text/html", "application/json", "", "x" * 10_000])
def test_other_forms_are_not_acceptable(predicted, media_type):
    with pytest.raises(NotAcceptable) as caught:
        render(predicted.result, predicted.recording, media_type)
    assert len(str(caught.value)) < 200
    assert "text/csv" in caught.value.hint


@pytest.mark.parametrize("missing", [ImportError, OSError])
@pytest.mark.parametrize("media_type", ["application/pdf", "image/png"])
def test_without_cairo_the_way_out_is_told(predicted, monkeypatch, media_type, missing):
    def no_cairo(name):
        if name == "cairosvg":
            raise missing
        return importlib.import_module(name)

    monkeypatch.setattr(picture, "import_module", no_cairo)
    with pytest.raises(NotInstalled, match="CairoSVG") as caught:
        render(predicted.result, predicted.recording, media_type)
    assert "image/svg+xml" in caught.value.hint
