/* Checks a MODEL region (docs/PROTOCOL.md) against NUMERICS section 2 and lays the arena out. */
#include "bytes.h"
#include "mlp_internal.h"

#include <string.h>

#define ACCUMULATOR_BUDGET (INT32_MAX - LIMIT_BIAS_MAX)
#define UPDATE_BUDGET (1u << 30)

static bool is_outside(uint32_t v, uint32_t low, uint32_t high)
{
    return v < low || v > high;
}

/* One layer of the region, and what its budgets depend on. */
typedef struct {
    uint32_t inputs, outputs, limit; /* limit: A of the rows it reads */
    uint8_t activation, activation_bits, weight_bits, delta_bits;
} layer_plan_t;

static layer_plan_t read_layer(const uint8_t *model, uint32_t l)
{
    const uint8_t *fields = model + MODEL_BYTES + l * LAYER_BYTES;
    layer_plan_t plan = {
        .inputs = bytes_u16(model + MODEL_AT_INPUT_WIDTH),
        .outputs = bytes_u16(fields + LAYER_AT_WIDTH),
        .limit = bytes_u16(model + MODEL_AT_INPUT_MAX),
        .activation = fields[LAYER_AT_ACTIVATION],
        .activation_bits = fields[LAYER_AT_ACTIVATION_BITS],
        .weight_bits = fields[LAYER_AT_WEIGHT_BITS],
        .delta_bits = fields[LAYER_AT_DELTA_BITS],
    };
    if (l > 0) {
        plan.inputs = bytes_u16(fields - LAYER_BYTES + LAYER_AT_WIDTH);
        plan.limit = (1u << fields[LAYER_AT_ACTIVATION_BITS - LAYER_BYTES]) - 1u;
    }
    return plan;
}

/* Returns the offset of the first bad field in the head of the region, or -1. */
static int check_head(const uint8_t *model, size_t model_bytes)
{
    if (model_bytes < MODEL_BYTES || model[MODEL_AT_NUMERICS] != NUMERICS_VERSION) {
        return MODEL_AT_NUMERICS;
    }
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    if (layers == 0 || model_bytes != MODEL_BYTES + layers * LAYER_BYTES) {
        return MODEL_AT_LAYER_COUNT;
    }
    if (model[MODEL_AT_LOSS] > LOSS_SIGMOID_SQUARED_ERROR) {
        return MODEL_AT_LOSS;
    }
    if (model[MODEL_AT_FLAGS] & ~(MODEL_FLAG_ADAPTIVE | MODEL_FLAG_WIDEN | MODEL_FLAG_CLIP)) {
        return MODEL_AT_FLAGS;
    }
    if (bytes_u16(model + MODEL_AT_BATCH) == 0) {
        return MODEL_AT_BATCH;
    }
    const uint8_t format = model[MODEL_AT_INPUT_FORMAT];
    if (format > INPUT_I16) {
        return MODEL_AT_INPUT_FORMAT;
    }
    const uint32_t largest = format == INPUT_U8 ? 255 : format == INPUT_I8 ? 127 : 32767;
    if (is_outside(bytes_u16(model + MODEL_AT_INPUT_MAX), 1, largest)) {
        return MODEL_AT_INPUT_MAX;
    }
    if (is_outside(model[MODEL_AT_VELOCITY_BITS], 1, LIMIT_VELOCITY_BITS_MAX)) {
        return MODEL_AT_VELOCITY_BITS;
    }
    if (is_outside(model[MODEL_AT_DECAY_SHIFT], 1, LIMIT_DECAY_SHIFT_MAX)) {
        return MODEL_AT_DECAY_SHIFT;
    }
    return bytes_u16(model + MODEL_AT_INPUT_WIDTH) == 0 ? MODEL_AT_INPUT_WIDTH : -1;
}

/* Returns the offset of the first bad field inside one layer, or -1. Range: widths and limits are
 * below 2^16, so every product here is below 2^32; a quotient by a power of two or by `limit` is
 * rounded down, which keeps each comparison exact. */
static int check_layer(const layer_plan_t *plan, bool first, bool last)
{
    if (is_outside(plan->outputs, 1, last ? LIMIT_OUTPUTS_MAX : 65535)) {
        return LAYER_AT_WIDTH;
    }
    if (last ? plan->activation != ACTIVATION_LINEAR
             : is_outside(plan->activation, ACTIVATION_RELU, ACTIVATION_SIGN)) {
        return LAYER_AT_ACTIVATION;
    }
    if (last ? plan->activation_bits != 0
             : is_outside(plan->activation_bits, LIMIT_ACTIVATION_BITS_MIN,
                          LIMIT_ACTIVATION_BITS_MAX)) {
        return LAYER_AT_ACTIVATION_BITS;
    }
    if (is_outside(plan->weight_bits, LIMIT_BITS_MIN, LIMIT_WEIGHT_BITS_MAX) ||
        plan->inputs * plan->limit > (uint32_t)ACCUMULATOR_BUDGET >> plan->weight_bits) {
        return LAYER_AT_WEIGHT_BITS;
    }
    if (is_outside(plan->delta_bits, LIMIT_BITS_MIN, LIMIT_DELTA_BITS_MAX) ||
        (!first && plan->outputs * ((1u << plan->delta_bits) - 1u) >
                       (uint32_t)INT32_MAX >> plan->weight_bits)) {
        return LAYER_AT_DELTA_BITS;
    }
    return -1;
}

/* Returns the offset of the first bad field of the region, or -1. */
static int check_model(const uint8_t *model, size_t model_bytes)
{
    const int bad = check_head(model, model_bytes);
    if (bad >= 0) {
        return bad;
    }
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    uint32_t limit = 0;
    for (uint32_t l = 0; l < layers; l++) {
        const layer_plan_t plan = read_layer(model, l);
        const int field = check_layer(&plan, l == 0, l == layers - 1);
        if (field >= 0) {
            return (int)(MODEL_BYTES + l * LAYER_BYTES) + field;
        }
        limit = plan.limit > limit ? plan.limit : limit;
    }
    const uint8_t bits = model[MODEL_AT_UPDATE_BITS];
    if (is_outside(bits, LIMIT_BITS_MIN, LIMIT_DELTA_BITS_MAX) ||
        bytes_u16(model + MODEL_AT_BATCH) * ((1u << bits) - 1u) > UPDATE_BUDGET / limit) {
        return MODEL_AT_UPDATE_BITS;
    }
    return -1;
}

/* a * b + c, rounded up to a multiple of 4; UINT32_MAX where that does not fit. */
static uint32_t grow(uint32_t c, uint32_t a, uint32_t b)
{
    if (a != 0 && b > UINT32_MAX / a) {
        return UINT32_MAX;
    }
    const uint32_t sum = c + a * b;
    return sum < c || sum > UINT32_MAX - 3u ? UINT32_MAX : mlp_align(sum);
}

static uint8_t row_format(const uint8_t *model, uint32_t l)
{
    if (l == 0) {
        return model[MODEL_AT_INPUT_FORMAT];
    }
    const layer_plan_t below = read_layer(model, l - 1);
    return activation_format(below.activation, below.activation_bits);
}

/* Parameters of all layers, then rows of all layers, with the gates of sign. Fills the records
 * unless `records` is NULL. Returns the end. */
static uint32_t lay_out_layers(const uint8_t *model, mlp_layer_t *records, uint32_t start)
{
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    const uint32_t batch = bytes_u16(model + MODEL_AT_BATCH);
    const uint32_t copies = model[MODEL_AT_MOMENTUM] == 0 ? 1 : 2;
    uint32_t end = start;
    for (uint32_t l = 0; l < layers; l++) {
        const layer_plan_t plan = read_layer(model, l);
        if (records != NULL) {
            records[l] = (mlp_layer_t){
                .parameters = end,
                .inputs = (uint16_t)plan.inputs,
                .outputs = (uint16_t)plan.outputs,
                .format = row_format(model, l) & 15u,
                .activation = plan.activation & 15u,
                .weight_bits = plan.weight_bits & 15u,
                .delta_bits = plan.delta_bits & 15u,
                .activation_bits = plan.activation_bits,
            };
        }
        for (uint32_t copy = 0; copy < copies; copy++) {
            end = grow(end, plan.inputs * plan.outputs, 2);
            end = grow(end, plan.outputs, 4);
        }
    }
    for (uint32_t l = 0; l < layers; l++) {
        if (records != NULL) {
            records[l].rows = end;
        }
        const uint32_t row = read_layer(model, l).inputs * mlp_element_bytes(row_format(model, l));
        end = grow(end, row, batch);
        if (l > 0 && read_layer(model, l - 1u).activation == ACTIVATION_SIGN) {
            end = grow(end, read_layer(model, l).inputs, batch);
        }
    }
    return end;
}

/* Tiles of layer l's deltas. Returns the end. */
static uint32_t lay_out_deltas(const uint8_t *model, mlp_layer_t *records, uint32_t l,
                               uint32_t start)
{
    const uint32_t lanes = KERNELS_LANES * kernels_quads(bytes_u16(model + MODEL_AT_BATCH));
    if (records != NULL) {
        records[l].deltas = start;
    }
    return grow(start, 2u * mlp_even(read_layer(model, l).outputs), lanes);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Scratch: two lanes of sums of the widest hidden layer; four lanes of logits beside packed rows;
 * the packed inputs of a gradient, 16 bytes a sample or 8 and a record; rows worth packing. */
static uint32_t scratch_bytes(const uint8_t *model)
{
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    const uint32_t samples = KERNELS_LANES * kernels_quads(bytes_u16(model + MODEL_AT_BATCH));
    const uint32_t inputs = read_layer(model, 0).inputs;
    uint32_t bytes = 16u * mlp_even(read_layer(model, layers - 1u).outputs) + 64u;
    bytes = larger(bytes, 16u * samples + 128u);
    bytes = larger(bytes, smaller(4u * inputs, 512u));
    for (uint32_t l = 0; l + 1u < layers; l++) {
        bytes = larger(bytes, 8u * mlp_even(read_layer(model, l).outputs));
    }
    return (bytes + 31u) & ~31u;
}

/* Sets the offsets of `m`; returns the bytes of arena needed. */
static uint32_t lay_out(const uint8_t *model, mlp_t *m, mlp_layer_t *records)
{
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    const uint32_t batch = bytes_u16(model + MODEL_AT_BATCH);
    const uint32_t words = 4u * (3u * layers + 1u);
    m->scales = lay_out_layers(model, records, layers * (uint32_t)sizeof(mlp_layer_t) + words);
    m->targets = grow(m->scales, layers * (uint32_t)sizeof(mlp_scale_t), batch);
    uint32_t end = m->targets;
    if (model[MODEL_AT_LOSS] == LOSS_SQUARED_ERROR) {
        end = grow(end, 4u * batch, read_layer(model, layers - 1u).outputs);
    }
    end = lay_out_deltas(model, records, layers - 1u, end);
    m->work = end;
    for (uint32_t l = 0; l + 1u < layers; l++) {
        end = lay_out_deltas(model, records, l, end);
    }
    m->scratch = end;
    end = grow(end, scratch_bytes(model), 1);
    m->work_bytes = end - m->work;
    return end;
}

int mlp_configure(mlp_t *m, const uint8_t *model, size_t model_bytes, void *arena,
                  size_t arena_bytes, uint32_t *detail)
{
    memset(m, 0, sizeof *m);
    const int bad = check_model(model, model_bytes);
    if (bad >= 0) {
        *detail = (uint32_t)bad;
        return STATUS_BAD_MODEL;
    }
    *detail = lay_out(model, m, NULL);
    if (*detail > arena_bytes || *detail == UINT32_MAX) {
        return STATUS_NO_MEMORY;
    }
    (void)lay_out(model, m, arena);
    m->arena = arena;
    m->layer_count = model[MODEL_AT_LAYER_COUNT];
    m->loss = model[MODEL_AT_LOSS];
    m->flags = model[MODEL_AT_FLAGS];
    m->batch = bytes_u16(model + MODEL_AT_BATCH);
    m->input_max = bytes_u16(model + MODEL_AT_INPUT_MAX);
    m->update_bits = model[MODEL_AT_UPDATE_BITS];
    m->momentum = model[MODEL_AT_MOMENTUM];
    m->velocity_bits = model[MODEL_AT_VELOCITY_BITS];
    m->clip_exponent = (int8_t)model[MODEL_AT_CLIP_EXPONENT];
    m->decay_shift = model[MODEL_AT_DECAY_SHIFT];
    m->decay_every = bytes_u32(model + MODEL_AT_DECAY_EVERY);
    return STATUS_OK;
}
