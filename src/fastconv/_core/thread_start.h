/* Whether threads can be started: libgomp ends the process where one can't.
 *
 * A limit may be of processes, of the control group or of memory, and what is left of it is seen
 * best by trying.  So before a thread's team first becomes as large, as many threads are started
 * that do nothing; the team is then of those there were.
 */
#ifndef FASTCONV_THREAD_START_H
#define FASTCONV_THREAD_START_H

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

#define FC_ASK_AGAIN 1.0 /* seconds after which a limit that was met is tried again */

/* The bytes of a stack as OpenMP is asked for them: kilobytes, unless a letter says other; or 0. */
static size_t fc_stack_bytes(const char *text) {
    char *end;
    if (!text)
        return 0;
    size_t bytes = strtoul(text, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    const int unit = tolower((unsigned char)*end);
    for (int power = unit == 'b' ? 0 : unit == 'm' ? 2 : unit == 'g' ? 3 : 1; power > 0; power--)
        bytes <<= 10;
    return bytes;
}

static void *fc_wait_for_others(void *mutex) {
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
    return NULL;
}

/* How many of so many threads there can be at once. */
static int fc_startable(int threads) {
    enum { MOST = 256 };
    pthread_t thread[MOST];
    pthread_attr_t attributes;
    pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
    const char *const given = getenv("OMP_STACKSIZE");
    const size_t bytes = fc_stack_bytes(given ? given : getenv("GOMP_STACKSIZE"));
    int started = 0;
    if (pthread_attr_init(&attributes))
        return 0;
    if (bytes)
        (void)pthread_attr_setstacksize(&attributes, bytes); /* what it refuses OpenMP ignores */
    pthread_mutex_lock(&held);
    while (started < threads && started < MOST &&
           !pthread_create(&thread[started], &attributes, fc_wait_for_others, &held))
        started++;
    pthread_mutex_unlock(&held);
    for (int t = 0; t < started; t++)
        pthread_join(thread[t], NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* The largest team that this thread may have, and where it wanted a larger one, until when. */
#if defined(__GLIBC__) /* as in signals.h */
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local int fc_team = 1;
static _Thread_local double fc_team_until;

/* How large a team of the calling thread may be, itself counted, that is to be larger than any so
 * far. */
static inline int fc_team_of(int threads, double now) {
    if (now < fc_team_until)
        return fc_team;
    const int started = fc_startable(threads - 1);
    fc_team = started + 1;
    if (fc_team < threads) {
        fc_team = started / 2 + 1; /* the rest is left to others, and to what the call allocates */
        fc_team_until = now + FC_ASK_AGAIN;
    }
    return fc_team;
}

#endif
