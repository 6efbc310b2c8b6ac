/* The 9P client of ninep.h: requests and answers as bytes. */
#include "ninep.h"

#include <stdarg.h>
#include <string.h>

#define RLERROR 7
#define HEADER 7

static uint8_t answer[4096];
static size_t answer_length, cursor;

static size_t put_number(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
    return (size_t)bytes;
}

static uint64_t number_at(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

int ninep_raw(const uint8_t *request, size_t length)
{
    int got = virtio_exchange(request, length, answer, sizeof answer);
    if (got < HEADER) return NO_ANSWER;
    answer_length = (size_t)number_at(answer, 4);
    if (answer_length < HEADER || answer_length > sizeof answer) return NO_ANSWER;
    cursor = HEADER;
    if (answer[4] == RLERROR) return (int)ninep_number(4);
    return answer[4] == request[4] + 1 ? 0 : NO_ANSWER;
}

int ninep_call(uint8_t type, const char *format, ...)
{
    uint8_t request[4096];
    size_t length = HEADER;
    va_list fields;
    va_start(fields, format);
    for (; *format != '\0'; format++) {
        if (*format == 's') {
            const char *text = va_arg(fields, const char *);
            length += put_number(request + length, strlen(text), 2);
            memcpy(request + length, text, strlen(text));
            length += strlen(text);
        } else if (*format == 'q') {
            length += put_number(request + length, va_arg(fields, uint64_t), 8);
        } else {
            length += put_number(request + length, va_arg(fields, unsigned), *format == 'b' ? 1 : *format == 'w' ? 2 : 4);
        }
    }
    va_end(fields);
    put_number(request, length, 4);
    request[4] = type;
    put_number(request + 5, type == TVERSION ? 0xffff : 1, 2);
    return ninep_raw(request, length);
}

uint64_t ninep_number(int bytes)
{
    if (cursor + (size_t)bytes > answer_length) return 0;
    cursor += (size_t)bytes;
    return number_at(answer + cursor - bytes, bytes);
}

struct qid ninep_qid(void)
{
    struct qid qid = {.type = (uint8_t)ninep_number(1)};
    ninep_number(4);
    qid.path = ninep_number(8);
    return qid;
}

size_t ninep_rest(const uint8_t **bytes)
{
    *bytes = answer + cursor;
    return answer_length - cursor;
}
