/*
 * A 9P client without a kernel driver, which can send what no proper client would.
 *
 * It speaks 9P2000.L, as in the kernel's net/9p/protocol.c and the 9p manual, one request at a time.
 */
#ifndef NINEP_H
#define NINEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TLOPEN = 12,
    TLCREATE = 14,
    TSYMLINK = 16,
    TMKNOD = 18,
    TRENAME = 20,
    TREADLINK = 22,
    TSETATTR = 26,
    TXATTRCREATE = 32,
    TLINK = 70,
    TMKDIR = 72,
    TRENAMEAT = 74,
    TUNLINKAT = 76,
    TVERSION = 100,
    TATTACH = 104,
    TWALK = 110,
    TREAD = 116,
    TWRITE = 118,
    TCLUNK = 120,
    TREMOVE = 122,
};

#define NO_FID 0xffffffffu
/* What the device gives no answer to, or one that is none. */
#define NO_ANSWER (-1)

struct qid {
    uint8_t type;
    uint64_t path;
};

#define QID_DIRECTORY 0x80
#define QID_SYMLINK 0x02

/*
 * Sends one request: `format` has a letter a field, b, w, d, q for 1 to 8 bytes and s for a string. Returns 0, the
 * errno that the server answers with, or NO_ANSWER.
 */
int ninep_call(uint8_t type, const char *format, ...);
/* Sends bytes as they are. */
int ninep_raw(const uint8_t *request, size_t length);

/* Fields of the answer, in order. */
uint64_t ninep_number(int bytes);
struct qid ninep_qid(void);
/* The rest of the answer as bytes; its length. */
size_t ninep_rest(const uint8_t **bytes);

/* Finds the device and drives it; false if there is none. */
bool virtio_open(void);
/* One request and its answer, in place; the answer's length, or NO_ANSWER after a while. */
int virtio_exchange(const uint8_t *request, size_t length, uint8_t *answer, size_t room);

#endif
