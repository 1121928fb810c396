/* The shipping device as a library. Answers go into a buffer, and mlp_put_sample() is wrapped by the
 * linker: before and after every sample of the observed run, the sample and the whole STATE region
 * are compared with tables that an independent model filled. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "link.h"
#include "mlp.h"
#include "port.h"

#define ARENA_BYTES 16384u
#define GUARD_BYTES 64u
#define GUARD 0xA5u
#define STATE_MAX 8192u

const char port_board[] = "sim";
const char port_core[] = "host";

/* What may never happen; the first position at which it did. */
enum { WRONG_SAMPLE, WRONG_STATE_BEFORE, WRONG_STATE_AFTER, BEYOND_END, GUARD_BROKEN, KINDS };

typedef struct {
    uint32_t run_id;
    uint32_t count;             /* positions of the run */
    const uint8_t *rows;        /* [count][row_bytes]: the sample of every position */
    uint32_t row_bytes;
    const uint32_t *completed;  /* [count + 1]: steps done before a position */
    const uint8_t *states;      /* [steps + 1][state_bytes] */
    uint32_t state_bytes;
} expected_t;

static link_t device;
static uint64_t memory[(ARENA_BYTES + 2u * GUARD_BYTES) / 8u];
static expected_t expected;
static uint32_t violations[KINDS], first_at[KINDS];
static uint32_t applied;
static uint8_t *sent;
static size_t sent_count, sent_max;

int __real_mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target);
int __wrap_mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target);

void sim_expect(const expected_t *e);
void sim_boot(uint32_t boot_id, uint8_t fill);
size_t sim_receive(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_max);
uint32_t sim_work(uint32_t samples, uint8_t *out, size_t out_max, size_t *answered);
void sim_status(uint32_t *words);

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count && sent_count < sent_max; i++) {
        sent[sent_count++] = bytes[i];
    }
}

static void note(int kind, uint32_t at)
{
    if (violations[kind]++ == 0) {
        first_at[kind] = at;
    }
}

static bool is_state_of(const mlp_t *m, uint32_t position)
{
    static uint8_t state[STATE_MAX];
    if (mlp_state_bytes(m) != expected.state_bytes ||
        mlp_state_read(m, 0, state, expected.state_bytes) != STATUS_OK) {
        return false;
    }
    const uint8_t *wanted = expected.states +
                            (size_t)expected.completed[position] * expected.state_bytes;
    return memcmp(state, wanted, expected.state_bytes) == 0;
}

int __wrap_mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target)
{
    const bool observed = device.trainer.run_id == expected.run_id && expected.run_id != 0;
    const uint32_t at = device.trainer.next;
    if (observed && at >= expected.count) {
        note(BEYOND_END, at);
    } else if (observed && !is_state_of(m, at)) {
        note(WRONG_STATE_BEFORE, at);
    }
    const int status = __real_mlp_put_sample(m, features, target);
    if (!observed || at >= expected.count || status != STATUS_OK) {
        return status;
    }
    const uint8_t *row = expected.rows + (size_t)at * expected.row_bytes;
    const size_t split = mlp_feature_bytes(m);
    if (memcmp(features, row, split) != 0 ||
        memcmp(target, row + split, expected.row_bytes - split) != 0) {
        note(WRONG_SAMPLE, at);
    }
    if (!is_state_of(m, at + 1u)) {
        note(WRONG_STATE_AFTER, at);
    }
    applied++;
    return status;
}

void sim_expect(const expected_t *e)
{
    expected = *e;
    applied = 0;
    memset(violations, 0, sizeof violations);
}

/* Starts the device; `fill` is what its memory happens to hold. */
void sim_boot(uint32_t boot_id, uint8_t fill)
{
    uint8_t *bytes = (uint8_t *)memory;
    memset(bytes, GUARD, sizeof memory);
    memset(bytes + GUARD_BYTES, fill, ARENA_BYTES);
    link_init(&device, boot_id, bytes + GUARD_BYTES, ARENA_BYTES);
}

static bool is_guard_intact(void)
{
    const uint8_t *bytes = (const uint8_t *)memory;
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (bytes[i] != GUARD || bytes[sizeof memory - 1u - i] != GUARD) {
            return false;
        }
    }
    return true;
}

/* Gives received bytes to the device; returns how many bytes of answers it wrote to `out`. */
size_t sim_receive(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_max)
{
    sent = out;
    sent_max = out_max;
    sent_count = 0;
    link_receive(&device, bytes, count);
    if (!is_guard_intact()) {
        note(GUARD_BROKEN, device.trainer.next);
    }
    return sent_count;
}

/* Lets the device train up to so many samples of its own; returns how many it did. */
uint32_t sim_work(uint32_t samples, uint8_t *out, size_t out_max, size_t *answered)
{
    uint32_t done = 0;
    sent = out;
    sent_max = out_max;
    sent_count = 0;
    while (done < samples && link_work(&device)) {
        done++;
    }
    if (!is_guard_intact()) {
        note(GUARD_BROKEN, device.trainer.next);
    }
    *answered = sent_count;
    return done;
}

/* words: applied, session, run id, next, whether it trains samples of its own, then (count, first position) of every kind. */
void sim_status(uint32_t *words)
{
    *words++ = applied;
    *words++ = device.trainer.session;
    *words++ = device.trainer.run_id;
    *words++ = device.trainer.next;
    *words++ = device.trainer.next < device.trainer.end;
    for (int kind = 0; kind < KINDS; kind++) {
        *words++ = violations[kind];
        *words++ = first_at[kind];
    }
}
