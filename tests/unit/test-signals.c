/* Signals by name and number, and back. */
#include "base/signals.h"
#include "test.h"

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

TEST(signals_have_names_and_numbers)
{
    int signal = 0;
    char storage[40];
    struct text text;
    static const struct {
        const char *text;
        int number;
    } good[] = {{"HUP", SIGHUP},      {"SIGHUP", SIGHUP}, {"hup", SIGHUP},
                {"sigusr1", SIGUSR1}, {"9", 9},           {"RTMIN", 34},
                {"IOT", SIGABRT},     {"RTMIN+3", 37},    {"SIGRTMAX-1", 63}};
    static const char *const bad[] = {"",         "FOO",  "SIG",      "0",       "65",
                                      "32",       "33",   "-1",       "RTMIN-1", "RTMAX+1",
                                      "RTMIN+99", "HUP ", "SIGSIGHUP"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_NUMBER(signals_parse(good[i].text, &signal), 0);
        CHECK_NUMBER(signal, good[i].number);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(signals_parse(bad[i], &signal) < 0);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (number > 31 && number < SIGRTMIN)
            continue;
        text_init(&text, storage, sizeof storage);
        signals_format(number, &text);
        CHECK_NUMBER(signals_parse(storage, &signal), 0);
        CHECK_NUMBER(signal, number);
        CHECK_NUMBER(signals_parse(storage + 3, &signal), 0);
        CHECK_NUMBER(signal, number);
    }
}

TEST(what_is_no_signal_is_shown_as_its_number)
{
    static const int numbers[] = {0, 33, 99};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char storage[40], wanted[40];
        struct text text;
        text_init(&text, storage, sizeof storage);
        signals_format(numbers[i], &text);
        snprintf(wanted, sizeof wanted, "signal %d", numbers[i]);
        CHECK_TEXT(storage, wanted);
    }
}

static uint64_t status_mask(const char *name)
{
    char line[128];
    uint64_t mask = UINT64_MAX;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            mask = strtoull(line + strlen(name), NULL, 16);
    if (file)
        fclose(file);
    return mask;
}

TEST(every_signal_is_as_at_first_even_those_the_c_library_keeps)
{
    sigset_t all;
    for (int signal = 1; signal <= 64; signal++) {
        uint64_t ignored[4] = {(uint64_t)(uintptr_t)SIG_IGN};
        syscall(SYS_rt_sigaction, signal, ignored, NULL, sizeof(uint64_t));
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    CHECK(status_mask("SigIgn:") & (UINT64_C(1) << 31)); /* 32, which sigaction() would not set */
    CHECK(status_mask("SigBlk:") != 0);
    signals_reset();
    CHECK_NUMBER(status_mask("SigIgn:"), 0);
    CHECK_NUMBER(status_mask("SigBlk:"), 0);
    CHECK_NUMBER(status_mask("SigCgt:"), 0);
}
