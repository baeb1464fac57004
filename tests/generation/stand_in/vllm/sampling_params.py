import enum


class RequestOutputKind(enum.Enum):
    FINAL_ONLY = 2
