/* The file with a service's environment, which is read at each start. A file that cannot be read as
 * it is meant fails the start: a service without its settings may do harm. */
#include "service-launcher/executor-internal.h"

#include "config/read-file.h"
#include "service/env-file.h"

#include <errno.h>
#include <fcntl.h>

int executor_read_env_file(const struct definition *definition, struct arena *arena,
                           names_t *ret_entries, struct reason *ret_reason)
{
    const char *problem = NULL;
    char *text;
    size_t bytes;
    struct env_file_error error;
    int failed = 0;

    if (!definition->env_file)
        return 0;
    char **entries = arena_take(arena, (ENV_FILE_MAX_ENTRIES + 1) * sizeof *entries);
    if (!entries)
        failed = -ENOMEM;
    if (!failed)
        failed = read_file_at(AT_FDCWD, definition->env_file, false, ENV_FILE_MAX_BYTES, arena,
                              &text, &bytes, &problem);
    if (failed == -ENOENT && definition->env_file_optional)
        return 0;
    if (failed) {
        *ret_reason = (struct reason){.code = REASON_STEP_FAILED,
                                      .step = STEP_ENV_FILE,
                                      .service = SLOT_NONE,
                                      .number = -failed};
        return failed;
    }
    failed = env_file_parse(text, bytes, entries, &error);
    if (failed) {
        *ret_reason = (struct reason){.code = REASON_ENV_FILE,
                                      .step = (uint16_t)error.problem,
                                      .service = SLOT_NONE,
                                      .number = (int32_t)error.line};
        return failed;
    }
    *ret_entries = entries;
    return 0;
}
