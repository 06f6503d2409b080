/* The thread and its owner hand one job to and fro: it is the owner's while `wanted` is none, or
 * done. An error is found by the owner again, who reads the frame itself then. */
#include "journal/ahead.h"
#include "journal/source.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

struct journal_ahead {
    const struct journal_source *source;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *text;
    size_t wanted; /* SIZE_MAX: nothing */
    bool busy, good, damaged, ending;
};

static void *work(void *context)
{
    struct journal_ahead *ahead = context;

    pthread_mutex_lock(&ahead->lock);
    while (!ahead->ending) {
        if (!ahead->busy) {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
            continue;
        }
        size_t number = ahead->wanted;
        pthread_mutex_unlock(&ahead->lock);
        bool damaged = false;
        bool good = journal_source_decompress(ahead->source, number, ahead->text, &damaged) == 0;
        pthread_mutex_lock(&ahead->lock);
        ahead->busy = false;
        ahead->damaged = damaged;
        ahead->good = good;
        pthread_cond_signal(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

struct journal_ahead *journal_ahead_create(const struct journal_source *source)
{
    struct journal_ahead *ahead = calloc(1, sizeof *ahead);
    sigset_t all, before;
    int failed = -1;

    if (!ahead)
        return NULL;
    ahead->source = source;
    ahead->wanted = SIZE_MAX;
    ahead->text = malloc(journal_source_room(source));
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    sigfillset(&all); /* signals are the program's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (ahead->text)
        failed = pthread_create(&ahead->thread, NULL, work, ahead);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return ahead;
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->text);
    free(ahead);
    return NULL;
}

/* Waits until the thread is not at work. The lock is held. */
static void settle(struct journal_ahead *ahead)
{
    while (ahead->busy)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
}

void journal_ahead_destroy(struct journal_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    settle(ahead);
    ahead->ending = true;
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    pthread_join(ahead->thread, NULL);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->text);
    free(ahead);
}

void journal_ahead_want(struct journal_ahead *ahead, size_t number)
{
    pthread_mutex_lock(&ahead->lock);
    settle(ahead);
    ahead->wanted = number;
    ahead->busy = true;
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
}

bool journal_ahead_take(struct journal_ahead *ahead, size_t number, char **text, bool *ret_damaged)
{
    bool taken;

    pthread_mutex_lock(&ahead->lock);
    settle(ahead);
    taken = ahead->wanted == number && ahead->good;
    ahead->wanted = SIZE_MAX;
    if (taken) {
        char *given = *text;
        *text = ahead->text;
        ahead->text = given;
        *ret_damaged = ahead->damaged;
    }
    pthread_mutex_unlock(&ahead->lock);
    return taken;
}
