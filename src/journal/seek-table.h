/* The seek table of a compressed file, as zstd's seekable format has it (version 0.1.1): a frame
 * that other programs skip, and the last in the file. All numbers are little-endian.
 *
 *   u32 0x184d2a5e, u32 bytes behind this
 *   for each frame: u32 its bytes in the file, u32 bytes of text [, u32 checksum]
 *   u32 frames, u8 descriptor (0x80: there are checksums), u32 0x8f92eab1 */
#pragma once

#include <endian.h>
#include <stdint.h>

#define SEEK_TABLE_HEAD_MAGIC 0x184d2a5eu
#define SEEK_TABLE_MAGIC      0x8f92eab1u
#define SEEK_TABLE_CHECKSUMS  0x80

#define JOURNAL_FRAME_BYTES 262144 /* of text in a frame that we write */

struct seek_table_head {
    uint32_t magic, bytes;
};

struct seek_table_entry {
    uint32_t bytes, text_bytes;
};

struct seek_table_end {
    uint32_t frames;
    uint8_t descriptor;
    uint32_t magic;
} __attribute__((packed));
