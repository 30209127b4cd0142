"""What the doctor's looks give, in a form that tests compare."""


def seen(findings):
    """States and texts of findings, by name."""
    return {finding.name: (finding.state, finding.text) for finding in findings}


def one(findings):
    """The only finding."""
    (finding,) = findings
    return finding
