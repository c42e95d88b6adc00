"""Lines of memory asked for before they are needed: the processor does not foresee all patterns."""

cdef extern from *:
    """
    static inline void fc_ask_read(const char *line) { __builtin_prefetch(line); }
    static inline void fc_ask_write(const char *line) { __builtin_prefetch(line, 1); }
    """
    void ask_read "fc_ask_read"(const char *line) noexcept nogil
    void ask_write "fc_ask_write"(const char *line) noexcept nogil

cdef enum:
    LINE = 64
