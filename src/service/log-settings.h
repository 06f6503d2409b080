/* What the system file's key `log` says of all journals together. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_SETTINGS_DEV_LOG    "/dev/log"
#define LOG_SETTINGS_PATH_BYTES 108 /* of a socket: sun_path of unix(7) */

enum log_wish { LOG_NOT_GIVEN, LOG_OFF, LOG_ON };

struct log_settings {
    uint64_t max_size_bytes; /* of all files of all journals on the disk; 0: not given */
    uint32_t sync_ms;        /* within what time all is on the disk; 0: not given */
    enum log_wish dev_log, kernel;
    char dev_log_path[LOG_SETTINGS_PATH_BYTES]; /* "": LOG_SETTINGS_DEV_LOG */
};
