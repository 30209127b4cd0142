"""Runs a Jinja template that nobody has read, with bounded work.

Jinja's sandbox keeps a template away from Python's insides; it does not keep it from looping for
hours or from making a text of a terabyte. So every step is paid for from a `Meter`, before it is
done:

- `rewrite.py` changes the template's tree: bodies of loops and macros pay for their size each time
  they run, comparisons and slices for what they look at;
- `environment.py` has Jinja's hooks: operators, calls and output pay;
- `filters.py` and `comparisons.py` have what templates may use, each with its price; other filters
  and tests do not exist;
- `template.py` is the door: `ChatTemplate(source, …).render(messages, tools)`.

An operation that makes more than it is given (`*`, replace, join, tojson …) pays for its result.
Any other makes at most a small multiple of it, so paying for what goes in is enough.
"""
