"""Mistakes a person can make, in words they can act on."""


class UserError(ValueError):
    """Something a person typed or chose cannot be used; the message says what, where and the fix.

    `field` names the input of the experiment it belongs to ("clean", "target", "model", ...), so
    that the app can say it there; `suggestion`, where there is one, is a text to put there instead.
    """

    def __init__(self, message: str, field: str = "", suggestion: str | None = None):
        super().__init__(message)
        self.field = field
        self.suggestion = suggestion
