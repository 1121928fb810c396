/* The state's canonical bytes (docs/PROTOCOL.md, region STATE), its digest and its ranges. */
#include "mlp_internal.h"
#include "profile.h"
#include "vector.h"

#include <string.h>

/* A run of equal elements in canonical order. */
typedef struct {
    void *data;                   /* i16 in the kernels' layout, or 32-bit words */
    const kernels_layer_t *layer; /* NULL for 32-bit words */
    uint32_t count;               /* elements */
} segment_t;

static uint32_t segment_bytes(const segment_t *segment)
{
    return segment->count * (segment->layer == NULL ? 4u : 2u);
}

/* Segments of a layer: W, b and with momentum V, Vb. */
static uint32_t segments_log2(const mlp_t *m)
{
    return m->momentum == 0 ? 1u : 2u;
}

/* Segment `index` of the state: those of every layer, then the words. `view` holds the kernels'
 * view that the segment refers to. */
static segment_t segment_at(const mlp_t *m, uint32_t index, kernels_layer_t *view)
{
    const uint32_t l = index >> segments_log2(m);
    if (l == m->layer_count) {
        return (segment_t){mlp_words(m), NULL, mlp_word_count(m)};
    }
    const mlp_layer_t *layer = mlp_layer(m, l);
    const bool is_velocity = m->momentum != 0 && (index & 2u) != 0;
    *view = mlp_kernels_layer(m, layer);
    if (index & 1u) {
        return (segment_t){is_velocity ? mlp_bias_velocity(m, layer) : mlp_bias(m, layer), NULL,
                           layer->outputs};
    }
    return (segment_t){is_velocity ? mlp_velocity(m, layer) : mlp_weights(m, layer), view,
                       mlp_weight_count(layer)};
}

static uint32_t segment_count(const mlp_t *m)
{
    return m->layer_count == 0 ? 0 : ((uint32_t)m->layer_count << segments_log2(m)) + 1u;
}

/* Place of canonical element k of a weight-shaped tensor. */
static uint32_t weight_place(const kernels_layer_t *layer, uint32_t k)
{
    return kernels_index(layer, k / layer->inputs, k % layer->inputs);
}

/* Half-word k of a segment, as canonical bytes. */
static uint8_t *half_at(const segment_t *segment, uint32_t k)
{
    if (segment->layer != NULL) {
        k = weight_place(segment->layer, k);
    }
    return (uint8_t *)segment->data + 2u * k;
}

uint32_t mlp_state_bytes(const mlp_t *m)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < segment_count(m); i++) {
        kernels_layer_t view;
        const segment_t segment = segment_at(m, i, &view);
        bytes += segment_bytes(&segment);
    }
    return bytes;
}

static bool is_inside(const mlp_t *m, uint32_t offset, size_t count)
{
    const uint32_t bytes = mlp_state_bytes(m);
    return offset % 2 == 0 && count % 2 == 0 && offset <= bytes && count <= bytes - offset;
}

/* Copies `count` bytes of the region from `offset` on into `out`, or from `in` where it is not
 * NULL. */
static void transfer(const mlp_t *m, uint32_t offset, uint32_t count, uint8_t *out,
                     const uint8_t *in)
{
    for (uint32_t i = 0; i < segment_count(m) && count > 0; i++) {
        kernels_layer_t view;
        const segment_t segment = segment_at(m, i, &view);
        const uint32_t bytes = segment_bytes(&segment);
        if (offset >= bytes) {
            offset -= bytes;
            continue;
        }
        const uint32_t here = count < bytes - offset ? count : bytes - offset;
        for (uint32_t k = 0; k < here; k += 2) {
            uint8_t *half = half_at(&segment, (offset + k) / 2);
            if (in != NULL) {
                half[0] = *in++;
                half[1] = *in++;
            } else {
                *out++ = half[0];
                *out++ = half[1];
            }
        }
        count -= here;
        offset = 0;
    }
}

int mlp_state_write(mlp_t *m, uint32_t offset, const uint8_t *bytes, size_t count)
{
    if (!is_inside(m, offset, count)) {
        return STATUS_BAD_OFFSET;
    }
    m->started = false;
    m->digest_valid = false;
    transfer(m, offset, (uint32_t)count, NULL, bytes);
    return STATUS_OK;
}

int mlp_state_read(const mlp_t *m, uint32_t offset, uint8_t *bytes, size_t count)
{
    if (!is_inside(m, offset, count)) {
        return STATUS_BAD_OFFSET;
    }
    transfer(m, offset, (uint32_t)count, bytes, NULL);
    return STATUS_OK;
}

#define DIGEST_MULTIPLIER 0x9E3779B1u

/* D = D * 0x9E3779B1 + u. Section 9. */
static inline uint32_t digest_step(uint32_t digest, uint32_t multiplier, int32_t word)
{
    return digest * multiplier + (uint32_t)word;
}

static inline uint32_t digest_word(uint32_t digest, int32_t word)
{
    return digest_step(digest, DIGEST_MULTIPLIER, word);
}

#ifndef VECTOR
/* The digest of pairs of weights, `step` elements apart, the two of a pair `next`; an even
 * number of pairs, 2 at least, ends at `end`. */
static __attribute__((noinline)) uint32_t digest_pairs(uint32_t digest, const int16_t *at,
                                                       const int16_t *end, uint32_t next,
                                                       uint32_t step)
{
    uint32_t multiplier = DIGEST_MULTIPLIER;
    __asm__("" : "+r"(multiplier)); /* known, it would be loaded in every turn */
    do {
        const int16_t *other = at + next;
        digest = digest_step(digest, multiplier, *at);
        at += step;
        digest = digest_step(digest, multiplier, *other);
        other += step;
        digest = digest_step(digest, multiplier, *at);
        at += step;
        digest = digest_step(digest, multiplier, *other);
    } while (at != end);
    return digest;
}

/* The same for a row of weights of any layout. */
static uint32_t digest_row(const kernels_layer_t *layer, uint32_t row, const int16_t *values,
                           uint32_t digest)
{
    const uint32_t inputs = layer->inputs;
    uint32_t i = 0;
    if (inputs >= 4u) {
        const int16_t *first = values + kernels_index(layer, row, 0);
        const uint32_t step = kernels_pair_step(layer, row);
        i = inputs & ~3u;
        digest = digest_pairs(digest, first, first + i / 2u * step,
                              kernels_column_step(layer, row), step);
    }
    for (; i < inputs; i++) {
        digest = digest_word(digest, values[kernels_index(layer, row, i)]);
    }
    return digest;
}
#endif

/* The same for every word of the segment. */
static uint32_t digest_segment(const segment_t *segment, uint32_t digest)
{
    if (segment->layer == NULL) {
        const int32_t *words = segment->data;
        for (uint32_t k = 0; k < segment->count; k++) {
            digest = digest_word(digest, words[k]);
        }
        return digest;
    }
#ifdef VECTOR
    return vector_digest(segment->data, segment->count, DIGEST_MULTIPLIER, digest);
#else
    for (uint32_t j = 0; j < segment->layer->outputs; j++) {
        digest = digest_row(segment->layer, j, segment->data, digest);
    }
    return digest;
#endif
}

uint32_t mlp_digest(mlp_t *m)
{
    if (!m->digest_valid) {
        profile_enter(PHASE_DIGEST, 0);
        m->digest = 0x811C9DC5u;
        for (uint32_t i = 0; i < segment_count(m); i++) {
            kernels_layer_t view;
            const segment_t segment = segment_at(m, i, &view);
            m->digest = digest_segment(&segment, m->digest);
        }
        m->digest_valid = true;
        profile_leave();
    }
    return m->digest;
}

static bool all_inside16(const int16_t *values, uint32_t count, int32_t low, int32_t high)
{
    for (; count > 0; count--, values++) {
        if (*values < low || *values > high) {
            return false;
        }
    }
    return true;
}

bool mlp_all_inside(const int32_t *values, uint32_t count, int32_t low, int32_t high)
{
    for (; count > 0; count--, values++) {
        if (*values < low || *values > high) {
            return false;
        }
    }
    return true;
}

/* Sections 2 and 6: what training keeps true of one layer's parameters. */
static bool is_layer_valid(const mlp_t *m, const mlp_layer_t *layer)
{
    const int32_t high = (1 << layer->weight_bits) - 1;
    const uint32_t weights = mlp_weight_count(layer), n = layer->outputs;
    return all_inside16(mlp_weights(m, layer), weights, -high - 1, high) &&
           mlp_all_inside(mlp_bias(m, layer), n, -LIMIT_BIAS_MAX, LIMIT_BIAS_MAX) &&
           (m->momentum == 0 ||
            (all_inside16(mlp_velocity(m, layer), weights, -32767, 32767) &&
             mlp_all_inside(mlp_bias_velocity(m, layer), n, -BIAS_VELOCITY_MAX,
                            BIAS_VELOCITY_MAX)));
}

/* Section 2, item 4, and low below 256. */
static bool are_words_valid(const mlp_t *m)
{
    const uint32_t layers = m->layer_count;
    return mlp_all_inside(mlp_weight_exponent(m, 0), layers, LIMIT_WEIGHT_EXPONENT_MIN,
                        LIMIT_WEIGHT_EXPONENT_MAX) &&
           mlp_all_inside(mlp_row_exponent(m, 0), 1, LIMIT_ACTIVATION_EXPONENT_MIN,
                        LIMIT_INPUT_EXPONENT_MAX) &&
           mlp_all_inside(mlp_row_exponent(m, 1), layers - 1, LIMIT_ACTIVATION_EXPONENT_MIN, 0) &&
           mlp_all_inside(mlp_low(m, 1), layers - 1, 0, 255);
}

int mlp_start(mlp_t *m)
{
    m->started = false;
    m->size = 0;
    m->collected = 0;
    memset(&m->counters, 0, sizeof m->counters);
    if (m->layer_count == 0 || !are_words_valid(m)) {
        return STATUS_BAD_STATE;
    }
    for (uint32_t l = 0; l < m->layer_count; l++) {
        if (!is_layer_valid(m, mlp_layer(m, l))) {
            return STATUS_BAD_STATE;
        }
    }
    m->started = true;
    return STATUS_OK;
}

uint32_t mlp_step_count(const mlp_t *m)
{
    return m->layer_count == 0 ? 0 : *mlp_step_word(m);
}
