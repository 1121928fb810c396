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

/* The bytes of the head that have a range of their own. */
static const struct {
    uint8_t at, low, high;
} head_ranges[] = {
    {MODEL_AT_LOSS, 0, LOSS_SIGMOID_SQUARED_ERROR},
    {MODEL_AT_INPUT_FORMAT, 0, INPUT_I16},
    {MODEL_AT_UPDATE_BITS, LIMIT_BITS_MIN, LIMIT_DELTA_BITS_MAX},
    {MODEL_AT_VELOCITY_BITS, 1, LIMIT_VELOCITY_BITS_MAX},
    {MODEL_AT_DECAY_SHIFT, 1, LIMIT_DECAY_SHIFT_MAX},
};

/* Returns the offset of a bad field in the head of the region, or -1. */
static __attribute__((noinline)) int check_head(const uint8_t *model, size_t model_bytes)
{
    if (model_bytes < MODEL_BYTES || model[MODEL_AT_NUMERICS] != NUMERICS_VERSION) {
        return MODEL_AT_NUMERICS;
    }
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    if (layers == 0 || model_bytes != MODEL_BYTES + layers * LAYER_BYTES) {
        return MODEL_AT_LAYER_COUNT;
    }
    if (model[MODEL_AT_FLAGS] / MODEL_FLAG_FROZEN >= layers) {
        return MODEL_AT_FLAGS;
    }
    for (uint32_t i = 0; i < sizeof head_ranges / sizeof head_ranges[0]; i++) {
        const uint8_t at = head_ranges[i].at;
        if (is_outside(model[at], head_ranges[i].low, head_ranges[i].high)) {
            return at;
        }
    }
    if (bytes_u16(model + MODEL_AT_BATCH) == 0) {
        return MODEL_AT_BATCH;
    }
    const uint8_t format = model[MODEL_AT_INPUT_FORMAT];
    const uint32_t largest = format == INPUT_U8 ? 255 : format == INPUT_I8 ? 127 : 32767;
    if (is_outside(bytes_u16(model + MODEL_AT_INPUT_MAX), 1, largest)) {
        return MODEL_AT_INPUT_MAX;
    }
    return bytes_u16(model + MODEL_AT_INPUT_WIDTH) == 0 ? MODEL_AT_INPUT_WIDTH : -1;
}

/* Returns the offset of a bad field inside one layer, or -1. Range: widths and limits are
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

/* Returns the offset of a bad field of the region, or -1. */
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
    const uint32_t largest = (1u << model[MODEL_AT_UPDATE_BITS]) - 1u;
    return bytes_u16(model + MODEL_AT_BATCH) * largest > UPDATE_BUDGET / limit
               ? MODEL_AT_UPDATE_BITS
               : -1;
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

/* Of one layer and four samples. */
static uint32_t delta_bytes(uint32_t outputs)
{
    return 2u * KERNELS_LANES * mlp_even(outputs);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Where the areas of all layers go on: parameters; rows, with the gates of sign; deltas. */
typedef struct {
    uint32_t parameters, rows, deltas;
    uint32_t widest; /* of the hidden layers */
} areas_t;

/* Fills the records, which are `step` apart: 0 where only the sizes matter. */
static void lay_out_layers(const uint8_t *model, mlp_layer_t *record, uint32_t step, areas_t *areas)
{
    const uint32_t batch = bytes_u16(model + MODEL_AT_BATCH);
    uint8_t format = model[MODEL_AT_INPUT_FORMAT], below = ACTIVATION_LINEAR;
    for (uint32_t l = 0; l < model[MODEL_AT_LAYER_COUNT]; l++, record += step) {
        const layer_plan_t plan = read_layer(model, l);
        *record = (mlp_layer_t){
            .parameters = areas->parameters,
            .rows = areas->rows,
            .deltas = areas->deltas,
            .inputs = (uint16_t)plan.inputs,
            .outputs = (uint16_t)plan.outputs,
            .format = format & 15u,
            .activation = plan.activation & 15u,
            .weight_bits = plan.weight_bits & 15u,
            .delta_bits = plan.delta_bits & 15u,
            .activation_bits = plan.activation_bits,
        };
        for (uint32_t copy = model[MODEL_AT_MOMENTUM] == 0 ? 1 : 2; copy > 0; copy--) {
            areas->parameters = grow(areas->parameters, plan.inputs * plan.outputs, 2);
            areas->parameters = grow(areas->parameters, plan.outputs, 4);
        }
        areas->rows = grow(areas->rows, plan.inputs * mlp_element_bytes(format), batch);
        if (below == ACTIVATION_SIGN) {
            areas->rows = grow(areas->rows, plan.inputs, batch);
        }
        areas->deltas = grow(areas->deltas, delta_bytes(plan.outputs), kernels_quads(batch));
        areas->widest = larger(areas->widest, l == 0 ? 0 : plan.inputs);
        below = plan.activation;
        format = activation_format(below, plan.activation_bits);
    }
}

/* Scratch: two lanes of sums of the widest hidden layer; four lanes of logits beside packed rows;
 * the packed inputs of a gradient, 16 bytes a sample or 8 and a record; rows worth packing. */
static uint32_t scratch_bytes(uint32_t widest, uint32_t outputs, uint32_t quads, uint32_t inputs)
{
    uint32_t bytes = larger(8u * mlp_even(widest), 16u * mlp_even(outputs) + 64u);
    bytes = larger(bytes, 64u * quads + 128u);
    bytes = larger(bytes, inputs < 128u ? 4u * inputs : 512u);
    return (bytes + 31u) & ~31u;
}

/* Sets the offsets of `m`, and those of the records if these areas end inside the arena. Returns
 * the bytes of arena needed. The deltas of the last layer stand in front of the others. */
static uint32_t lay_out(const uint8_t *model, mlp_t *m, mlp_layer_t *records, size_t arena_bytes)
{
    const uint32_t layers = model[MODEL_AT_LAYER_COUNT];
    const uint32_t batch = bytes_u16(model + MODEL_AT_BATCH), quads = kernels_quads(batch);
    mlp_layer_t last;
    areas_t sizes = {0, 0, 0, 0}, areas;
    lay_out_layers(model, &last, 0, &sizes);
    areas.parameters = layers * (uint32_t)sizeof(mlp_layer_t) + 4u * (3u * layers + 1u);
    areas.rows = grow(areas.parameters, sizes.parameters, 1);
    m->scales = grow(areas.rows, sizes.rows, 1);
    uint32_t deltas = grow(m->scales, layers * (uint32_t)sizeof(mlp_scale_t), batch);
    if (model[MODEL_AT_LOSS] == LOSS_SQUARED_ERROR) {
        deltas = grow(deltas, 4u * batch, last.outputs);
    }
    m->work = grow(deltas, delta_bytes(last.outputs), quads);
    m->scratch = grow(deltas, sizes.deltas, 1);
    const uint32_t scratch = scratch_bytes(sizes.widest, last.outputs, quads,
                                           bytes_u16(model + MODEL_AT_INPUT_WIDTH));
    const uint32_t end = grow(m->scratch, scratch, 1);
    m->work_bytes = end - m->work;
    if (end <= arena_bytes && end != UINT32_MAX) {
        areas.deltas = m->work;
        lay_out_layers(model, records, 1, &areas);
        records[layers - 1u].deltas = deltas;
    }
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
    *detail = lay_out(model, m, arena, arena_bytes);
    if (*detail > arena_bytes || *detail == UINT32_MAX) {
        return STATUS_NO_MEMORY;
    }
    m->arena = arena;
    memcpy(m->model, model, MODEL_BYTES);
    return STATUS_OK;
}
