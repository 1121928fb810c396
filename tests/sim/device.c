/* The shipping device as a library. Answers go into a buffer, and mlp_put_sample() is wrapped by the
 * linker: before and after every sample of the observed run, the sample and the whole STATE region
 * are compared with tables that an independent model filled.
 *
 * Its flash is that of weak_flash.h. store_save() is wrapped too: after every start the device must
 * have the run and the position that were kept last, or those whose keeping was cut short since. */
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "mlp.h"
#include "port.h"
#include "store.h"
#include "weak_flash.h"

#define ARENA_BYTES 16384u
#define GUARD_BYTES 64u
#define GUARD 0xA5u
#define STATE_MAX 8192u
#define BAUD_MAX 2000000u

const char port_board[] = "sim";
const char port_core[] = "host";

/* What may never happen; the first position at which it did. */
enum {
    WRONG_SAMPLE,
    WRONG_STATE_BEFORE,
    WRONG_STATE_AFTER,
    BEYOND_END,
    GUARD_BROKEN,
    WRONG_CHECKPOINT,
    FLASH_MISUSED,
    KINDS
};

typedef struct {
    uint32_t run_id;
    uint32_t count;             /* positions of the run */
    const uint8_t *rows;        /* [count][row_bytes]: the sample of every position */
    uint32_t row_bytes;
    const uint32_t *completed;  /* [count + 1]: steps done before a position */
    const uint8_t *states;      /* [steps + 1][state_bytes] */
    uint32_t state_bytes;
} expected_t;

/* A checkpoint; run id 0: none. */
typedef struct {
    uint32_t run_id, next;
} kept_t;

#define POSSIBLE_MAX 64u

static link_t device;
static uint64_t memory[(ARENA_BYTES + 2u * GUARD_BYTES) / 8u];
static expected_t expected;
static uint32_t violations[KINDS], first_at[KINDS];
static uint32_t applied;
static uint8_t *sent;
static size_t sent_count, sent_max;
static kept_t possible[POSSIBLE_MAX]; /* what a start may find: the last one kept, later attempts */
static uint32_t possible_count, saves;
static jmp_buf power;
static uint32_t baud;

int __real_mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target);
int __wrap_mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target);
uint32_t __real_store_save(store_t *s, uint32_t run_id, uint32_t next, uint32_t bytes,
                           store_source_t source, const void *context);
uint32_t __wrap_store_save(store_t *s, uint32_t run_id, uint32_t next, uint32_t bytes,
                           store_source_t source, const void *context);

void sim_flash(uint32_t sector_bytes, uint32_t sectors, uint32_t unit, uint32_t seed);
void sim_cut_power(uint32_t operations);
void sim_expect(const expected_t *e);
void sim_boot(uint32_t boot_id, uint8_t fill);
size_t sim_receive(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_max);
uint32_t sim_work(uint32_t samples, uint8_t *out, size_t out_max, size_t *answered);
uint32_t sim_saves(void);
uint32_t sim_baud(void);
uint32_t sim_power_losses(void);
void sim_status(uint32_t *words);

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count && sent_count < sent_max; i++) {
        sent[sent_count++] = bytes[i];
    }
}

bool port_has_baud(uint32_t wanted)
{
    return wanted >= LIMIT_BAUD_AT_START && wanted <= BAUD_MAX;
}

void port_set_baud(uint32_t wanted)
{
    baud = wanted;
}

uint32_t sim_baud(void)
{
    return baud;
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

uint32_t __wrap_store_save(store_t *s, uint32_t run_id, uint32_t next, uint32_t bytes,
                           store_source_t source, const void *context)
{
    const kept_t this = {run_id, next};
    if (possible_count == POSSIBLE_MAX) {
        abort();
    }
    possible[possible_count++] = this;
    const uint32_t generation = __real_store_save(s, run_id, next, bytes, source, context);
    if (generation != 0) {
        possible[0] = this;
        possible_count = 1;
        saves++;
    }
    return generation;
}

void weak_flash_misused(const char *what, uint32_t a, uint32_t b)
{
    (void)what;
    (void)b;
    note(FLASH_MISUSED, a);
}

void weak_flash_lose_power(void)
{
    longjmp(power, 1);
}

/* Gives the device a blank flash. */
void sim_flash(uint32_t sector_bytes, uint32_t sectors, uint32_t unit, uint32_t seed)
{
    weak_flash.sector_bytes = sector_bytes;
    weak_flash.sectors = sectors;
    weak_flash.unit = unit;
    weak_flash_blank(seed);
    possible[0] = (kept_t){0, 0};
    possible_count = 1;
    saves = 0;
}

/* Lets the power fail at so many operations of the flash from now on; 0: never. */
void sim_cut_power(uint32_t operations)
{
    weak_flash.cut = operations == 0 ? 0 : weak_flash.operations + operations;
}

/* Compares what the device found in its flash with what was kept. */
static void check_start(void)
{
    const kept_t found = {device.trainer.run_id, device.trainer.next};
    bool good = false;
    for (uint32_t i = 0; i < possible_count; i++) {
        good = good || (possible[i].run_id == found.run_id && possible[i].next == found.next);
    }
    if (found.run_id == expected.run_id && found.run_id != 0) {
        good = good && found.next <= expected.count && is_state_of(&device.trainer.mlp, found.next);
    }
    if (!good) {
        note(WRONG_CHECKPOINT, found.next);
    }
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
    baud = LIMIT_BAUD_AT_START;
    uint8_t *bytes = (uint8_t *)memory;
    memset(bytes, GUARD, sizeof memory);
    memset(bytes + GUARD_BYTES, fill, ARENA_BYTES);
    weak_flash_start();
    link_init(&device, boot_id, bytes + GUARD_BYTES, ARENA_BYTES);
    check_start();
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

/* Gives received bytes to the device; returns how many bytes of answers it wrote to `out`. Where the
 * power fails, it was off from then on. */
size_t sim_receive(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_max)
{
    sent = out;
    sent_max = out_max;
    sent_count = 0;
    if (setjmp(power) == 0) {
        link_receive(&device, bytes, count);
    }
    if (!is_guard_intact()) {
        note(GUARD_BROKEN, device.trainer.next);
    }
    return sent_count;
}

/* Lets the device train up to so many samples of its own; returns how many it did. */
uint32_t sim_work(uint32_t samples, uint8_t *out, size_t out_max, size_t *answered)
{
    static uint32_t done;
    done = 0;
    sent = out;
    sent_max = out_max;
    sent_count = 0;
    if (setjmp(power) == 0) {
        while (done < samples && link_work(&device)) {
            done++;
        }
    }
    if (!is_guard_intact()) {
        note(GUARD_BROKEN, device.trainer.next);
    }
    *answered = sent_count;
    return done;
}

/* Checkpoints that were kept on this flash, and how often its power failed. */
uint32_t sim_saves(void)
{
    return saves;
}

uint32_t sim_power_losses(void)
{
    return weak_flash.losses;
}

/* words: applied, session, run id, next, whether it trains samples of its own, then
 * (count, first position) of every kind. */
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
