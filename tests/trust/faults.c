/* Preloaded before Python: the n-th allocation, or call to the file system, fails or kills.
 *
 * Allocations count whose caller lies in the code that `fault_code` was told of; calls to the file
 * system, those of the thread that armed them.  Nothing happens before something is armed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unwind.h>

/* ------------------------------------------------------------------------------ allocations */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* Code of three kinds.  An allocation counts if the interpreter or we asked for it: what is nearest
 * to it on the stack, the interpreter left out, must not be NumPy.  NumPy's own temporary memory is
 * its own matter; that of arrays comes by way of `fault_data`. */
enum { INTERPRETER, OURS, NUMPY, KINDS };
enum { MOST_RANGES = 1024, DEPTH = 40 };
static uintptr_t ranges[KINDS][2 * MOST_RANGES];
static int range_count[KINDS];
static _Atomic int counting; /* whether allocations are counted now */
static _Atomic long seen;    /* allocations counted */
static long first, last;     /* which of them fail, the first being 1 */
static int denied_to_ours; /* whether the one that failed was asked for by compiled code of ours */
static _Atomic long of_others; /* those of them that another thread made */
static _Atomic long live;      /* blocks of the whole process */
static __thread int is_owner, is_inside;

void fault_code(int kind, const uintptr_t *pairs, int count) {
    range_count[kind] = count < MOST_RANGES ? count : MOST_RANGES;
    memcpy(ranges[kind], pairs, 2 * sizeof(uintptr_t) * (size_t)range_count[kind]);
}

void fault_arm_memory(long n, long count) {
    seen = of_others = 0;
    first = n, last = n + count - 1;
    is_owner = 1;
    counting = 1;
}

/* the number of allocations since it was armed */
long fault_disarm_memory(void) {
    counting = 0;
    return seen;
}

long fault_of_others(void) {
    return of_others;
}

long fault_live(void) {
    return live;
}

int fault_denied_to_ours(void) {
    return denied_to_ours;
}

static int is_in(const void *code, int kind) {
    for (int i = 0; i < range_count[kind]; i++)
        if ((uintptr_t)code >= ranges[kind][2 * i] && (uintptr_t)code < ranges[kind][2 * i + 1])
            return 1;
    return 0;
}

typedef struct {
    int kind, depth;
} asker;

static _Unwind_Reason_Code look(struct _Unwind_Context *frame, void *found) {
    asker *const a = found;
    const void *const code = (const void *)_Unwind_GetIP(frame);
    if (is_in(code, OURS))
        a->kind = OURS;
    else if (is_in(code, NUMPY))
        a->kind = NUMPY;
    return a->kind == INTERPRETER && ++a->depth < DEPTH ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* whether this allocation fails; `data` is an array's */
static int denied(const void *caller, int data) {
    if (!counting || is_inside)
        return 0;
    asker by = {INTERPRETER, 0};
    if (!data) {
        if (!is_in(caller, INTERPRETER) && !is_in(caller, OURS))
            return 0;
        is_inside = 1; /* the first look may allocate */
        _Unwind_Backtrace(look, &by);
        is_inside = 0;
        if (by.kind == NUMPY || (range_count[INTERPRETER] == 0 && !is_in(caller, OURS)))
            return 0;
    }
    if (!is_owner)
        of_others++;
    const long number = ++seen;
    if (number < first || number > last)
        return 0;
    denied_to_ours = by.kind == OURS;
    return 1;
}

/* Aligned blocks that watched code took and nobody freed: few at a time, so a list will do. */
enum { MOST_KEPT = 1024 };
static _Atomic(void *) kept[MOST_KEPT];
static int keeping;

void fault_keep(void) {
    keeping = 1;
}

long fault_kept(void) {
    long count = 0;
    for (int i = 0; i < MOST_KEPT; i++)
        count += kept[i] != NULL;
    return count;
}

#define CALLER __builtin_return_address(0)

static void *counted(void *block) {
    if (block)
        live++;
    return block;
}

static void *remembered(void *block, const void *caller) {
    if (block && keeping && is_in(caller, OURS))
        for (int i = 0; i < MOST_KEPT; i++) {
            void *none = NULL;
            if (atomic_compare_exchange_strong(&kept[i], &none, block))
                break;
        }
    return block;
}

static void *denial(void) {
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size) {
    return denied(CALLER, 0) ? denial() : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return denied(CALLER, 0) ? denial() : counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size) {
    if (denied(CALLER, 0))
        return denial();
    void *const made = __libc_realloc(block, size);
    if (!block)
        return counted(made);
    if (!made && !size)
        live--;
    return made;
}

int posix_memalign(void **to, size_t alignment, size_t size) {
    if (denied(CALLER, 0))
        return ENOMEM;
    *to = remembered(counted(__libc_memalign(alignment, size)), CALLER);
    return *to ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return denied(CALLER, 0) ? denial()
                             : remembered(counted(__libc_memalign(alignment, size)), CALLER);
}

void *memalign(size_t alignment, size_t size) {
    return counted(__libc_memalign(alignment, size));
}

void free(void *block) {
    if (block)
        live--;
    if (block && keeping)
        for (int i = 0; i < MOST_KEPT; i++)
            if (kept[i] == block)
                kept[i] = NULL;
    __libc_free(block);
}

/* An allocator for NumPy (NEP 49), whose blocks count. */
static void *data_malloc(void *context, size_t size) {
    (void)context;
    return denied(NULL, 1) ? NULL : counted(__libc_malloc(size));
}

static void *data_calloc(void *context, size_t count, size_t size) {
    (void)context;
    return denied(NULL, 1) ? NULL : counted(__libc_calloc(count, size));
}

static void *data_realloc(void *context, void *block, size_t size) {
    (void)context;
    return denied(NULL, 1) ? NULL : block ? realloc(block, size) : counted(__libc_malloc(size));
}

static void data_free(void *context, void *block, size_t size) {
    (void)context, (void)size;
    free(block);
}

struct {
    char name[127];
    uint8_t version;
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *, size_t);
} fault_data = {"faults", 1, NULL, data_malloc, data_calloc, data_realloc, data_free};

/* ------------------------------------------------------------------------- the file system */

enum { KILL = -1, KILL_HALFWAY = -2, DISK_FULL = -3 }; /* or an errno */
static __thread int armed;
static long calls, at;
static int action, full;
static char log_text[1 << 16];
static size_t log_length;

void fault_arm_files(long n, int what) {
    calls = 0, at = n, action = what, full = 0;
    log_length = 0, log_text[0] = 0;
    armed = 1;
}

/* the number of calls since it was armed */
long fault_disarm_files(void) {
    armed = 0;
    return calls;
}

/* their names and paths (or descriptors), a line each */
const char *fault_log(void) {
    return log_text;
}

static void noted(const char *name, const char *path, int fd) {
    const size_t room = sizeof log_text - log_length;
    const int wrote = path ? snprintf(log_text + log_length, room, "%s %s\n", name, path)
                           : snprintf(log_text + log_length, room, "%s %d\n", name, fd);
    if (wrote > 0 && (size_t)wrote < room)
        log_length += (size_t)wrote;
}

/* the errno that a call fails with; 0 if it does not */
static int fault(const char *name, const char *path, int fd) {
    if (!armed)
        return 0;
    noted(name, path, fd);
    if (++calls != at || action == KILL_HALFWAY || action == DISK_FULL)
        return 0;
    if (action == KILL)
        kill(getpid(), SIGKILL);
    return action;
}

#define FIND(name)                                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

#define CALL(type, failed, name, params, args, path, fd)                                           \
    type name params {                                                                             \
        static type(*next) params;                                                                 \
        const int error = fault(#name, path, fd);                                                  \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return failed;                                                                         \
        }                                                                                          \
        FIND(name);                                                                                \
        return next args;                                                                          \
    }

#define OPEN(name, params, args, path)                                                             \
    int name params {                                                                              \
        static int (*next)();                                                                      \
        mode_t mode = 0;                                                                           \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = (mode_t)va_arg(more, int);                                                      \
            va_end(more);                                                                          \
        }                                                                                          \
        const int error = fault(#name, path, -1);                                                  \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        FIND(name);                                                                                \
        return next args;                                                                          \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(openat, (int at_fd, const char *path, int flags, ...), (at_fd, path, flags, mode), path)
OPEN(openat64, (int at_fd, const char *path, int flags, ...), (at_fd, path, flags, mode), path)

CALL(int, -1, fsync, (int fd), (fd), NULL, fd)
CALL(int, -1, fdatasync, (int fd), (fd), NULL, fd)
CALL(int, -1, rename, (const char *a, const char *b), (a, b), a, 0)
CALL(int, -1, renameat, (int f, const char *a, int g, const char *b), (f, a, g, b), a, 0)
CALL(int, -1, link, (const char *a, const char *b), (a, b), a, 0)
CALL(int, -1, symlink, (const char *a, const char *b), (a, b), a, 0)
CALL(int, -1, unlink, (const char *a), (a), a, 0)
CALL(int, -1, unlinkat, (int f, const char *a, int flags), (f, a, flags), a, 0)
CALL(int, -1, rmdir, (const char *a), (a), a, 0)
CALL(int, -1, mkdir, (const char *a, mode_t mode), (a, mode), a, 0)
CALL(int, -1, flock, (int fd, int how), (fd, how), NULL, fd)
CALL(int, -1, fchmod, (int fd, mode_t mode), (fd, mode), NULL, fd)
CALL(int, -1, chmod, (const char *a, mode_t mode), (a, mode), a, 0)
CALL(int, -1, ftruncate64, (int fd, off64_t size), (fd, size), NULL, fd)
CALL(ssize_t, -1, read, (int fd, void *to, size_t n), (fd, to, n), NULL, fd)
CALL(ssize_t, -1, readlink, (const char *a, char *to, size_t n), (a, to, n), a, 0)
CALL(ssize_t, -1, sendfile64, (int to, int fd, off64_t *o, size_t n), (to, fd, o, n), NULL, to)
CALL(ssize_t, -1, sendfile, (int to, int fd, off_t *o, size_t n), (to, fd, o, n), NULL, to)
CALL(off64_t, -1, lseek64, (int fd, off64_t to, int how), (fd, to, how), NULL, fd)
CALL(int, -1, stat64, (const char *a, struct stat64 *s), (a, s), a, 0)
CALL(int, -1, lstat64, (const char *a, struct stat64 *s), (a, s), a, 0)
CALL(int, -1, fstat64, (int fd, struct stat64 *s), (fd, s), NULL, fd)
CALL(int, -1, stat, (const char *a, struct stat *s), (a, s), a, 0)
CALL(int, -1, lstat, (const char *a, struct stat *s), (a, s), a, 0)
CALL(int, -1, fstat, (int fd, struct stat *s), (fd, s), NULL, fd)
CALL(DIR *, NULL, opendir, (const char *a), (a), a, 0)
CALL(struct dirent64 *, NULL, readdir64, (DIR * d), (d), NULL, -1)

/* what fails here has closed the file all the same */
int close(int fd) {
    static int (*next)(int);
    const int error = fault("close", NULL, fd);
    FIND(close);
    const int closed = next(fd);
    if (!error)
        return closed;
    errno = error;
    return -1;
}

/* a disk that is full takes a part, and then nothing more */
ssize_t write(int fd, const void *from, size_t count) {
    static ssize_t (*next)(int, const void *, size_t);
    const int error = fault("write", NULL, fd);
    const int now = armed && calls == at;
    if (error || (armed && full)) {
        errno = error ? error : ENOSPC;
        return -1;
    }
    if (now && (action == KILL_HALFWAY || action == DISK_FULL)) {
        full = 1;
        count = count > 1 ? count / 2 : count;
    }
    FIND(write);
    const ssize_t wrote = next(fd, from, count);
    if (now && action == KILL_HALFWAY)
        kill(getpid(), SIGKILL);
    return wrote;
}
