"""docs/conformance.md names what the receiver takes, and nothing else."""

import re

from serve_app.hospital import receiver


def test_the_statement_lists_the_classes_that_are_taken(repo_root, tmp_path):
    text = (repo_root / "docs" / "conformance.md").read_text()
    stated = set(re.findall(r"^\| [^|]+ \| (1\.2\.840\.10008[\d.]+) \|", text, re.MULTILINE))
    node = receiver._node(receiver.ReceiverSettings())
    taken = {str(context.abstract_syntax) for context in node.supported_contexts}
    assert stated == taken
    syntaxes = {
        str(each) for context in node.supported_contexts for each in context.transfer_syntax or []
    }
    assert len(syntaxes - {"1.2.840.10008.1.2.1.99"}) == 3
