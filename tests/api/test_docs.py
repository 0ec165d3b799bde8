"""/docs: the page and its files come from here, and it asks nobody else."""

import re
import shutil
import subprocess

import pytest


def test_the_page_and_all_it_names_come_from_here(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 5
    for address in named:
        assert "//" not in address
        assert client.get(f"/{address}").status_code == 200, address
    assert "://" not in page.text


def test_the_page_may_ask_nobody_else(client):
    for path in ("/docs", "/web/docs.js"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in policy
    assert "<script>" not in client.get("/docs").text


def test_vendored_files_are_kept_by_browsers_and_ours_are_asked_for_again(client):
    page = client.get("/docs")
    vendored = re.search(r'src="(web/vendor/[^"]+\.js)"', page.text)[1]
    kept = client.get(f"/{vendored}")
    assert "immutable" in kept.headers["cache-control"]
    assert client.get("/web/docs.js").headers["cache-control"] == "no-cache"
    tag = client.get("/web/docs.js").headers["etag"]
    known = client.get("/web/docs.js", headers={"If-None-Match": tag})
    assert known.status_code == 304


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"])
def test_licences_lie_beside_what_they_license(repo_root, name):
    (folder,) = (repo_root / "serve_app" / "web" / "vendor").glob("swagger-ui-*")
    assert (folder / name).stat().st_size > 50


@pytest.mark.ray
@pytest.mark.slow
def test_a_browser_without_network_shows_every_path(server, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here to look at the page with")
    seen = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--enable-logging=stderr",
         "--dump-dom", f"{server}/docs"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    text = re.sub(r"<[^>]+>|\u200b", "", seen.stdout)
    for path in ("/v1/predict:batch", "/v1/explain", "/v1/models/{name}", "/readyz"):
        assert path in text
    assert "Content Security Policy" not in seen.stderr
    assert "ERR_" not in seen.stderr
