"""Ways to use the operations from within other libraries, each of which only its own part imports.

`fastconv.backends.autograd`, `fastconv.backends.keras`, `fastconv.backends.onnx` and
`fastconv.backends.pytensor` are imported by their users, never by `import fastconv`.
"""
