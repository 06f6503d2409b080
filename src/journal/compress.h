/* Compressing a sealed file (docs/journal-format.md). */
#pragma once

/* Makes NAME.zst out of the sealed file NAME in an open folder, and removes NAME: whoever is killed
 * in between, one of both is whole. Does nothing, with 0, where NAME is gone. Returns 0; -EBUSY
 * when somebody else is at it; or another -errno, and then NAME is as it was. */
int journal_compress(int folder, const char *name);
