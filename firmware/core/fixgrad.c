#define SPEED_ALWAYS
#include "speed.h"
#include "fixgrad.h"

#include "activation.h"
#include "bytes.h"
#include "fixed.h"
#include "kept.h"
#include "loss.h"
#include "mlp.h"
#include "store.h"

/* sum + weights . x. Section 3.
 * Range: |b + sum(w x)| < 2^31 - 1 with every part of the sum (section 2, budget 1): the weights,
 * the biases and the rows are inside their bits. */
static __attribute__((noinline)) int32_t dot(int32_t sum, const int16_t *weights,
                                             const int16_t *row, uint32_t count)
{
    for (const int16_t *end = row + count; row != end; row++, weights++) {
        sum += *weights * *row;
    }
    return sum;
}

#include "size.h"

/* A layer as it stands in the flash. Its tensors lie behind each other, so all are even. */
typedef struct {
    const int16_t *weights; /* [outputs][inputs] */
    const uint8_t *bias;    /* [outputs] */
    uint32_t inputs, outputs;
    activation_t activation;
    uint8_t weight_bits;
} layer_t;

static uint32_t parameter_bytes(const layer_t *layer)
{
    return 2u * layer->inputs * layer->outputs + 4u * layer->outputs;
}

/* The first layer, or the one behind `layer`. */
static void next_layer(const fixgrad_t *net, uint32_t l, layer_t *layer)
{
    const uint8_t *record = net->layers + l * LAYER_BYTES;
    const uint8_t *at = net->state;
    uint32_t inputs = net->inputs;
    if (l > 0) {
        at = (const uint8_t *)layer->weights + net->copies * parameter_bytes(layer);
        inputs = layer->outputs;
    }
    *layer = (layer_t){
        .weights = (const int16_t *)(const void *)at,
        .inputs = inputs,
        .outputs = bytes_u16(record + LAYER_AT_WIDTH),
        .activation = {record[LAYER_AT_ACTIVATION], record[LAYER_AT_ACTIVATION_BITS], INPUT_I16},
        .weight_bits = record[LAYER_AT_WEIGHT_BITS],
    };
    layer->bias = at + 2u * layer->inputs * layer->outputs;
}

static int32_t bias_at(const layer_t *layer, uint32_t j)
{
    return (int32_t)bytes_u32(layer->bias + 4u * j);
}

/* Word i of the state: eW[0..L-1], eX[0..L-1], ... */
static int32_t word_at(const fixgrad_t *net, uint32_t i)
{
    return (int32_t)bytes_u32(net->words + 4u * i);
}

/* e = eW + eX of layer l. */
static int32_t acc_exponent(const fixgrad_t *net, uint32_t l)
{
    return word_at(net, l) + word_at(net, net->layer_count + l);
}

static bool is_inside(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

/* Section 2: what the range of dot() relies on. */
static bool is_layer_valid(const layer_t *layer)
{
    const int32_t high = (1 << layer->weight_bits) - 1;
    for (uint32_t i = 0; i < layer->inputs * layer->outputs; i++) {
        if (!is_inside(layer->weights[i], -high - 1, high)) {
            return false;
        }
    }
    for (uint32_t j = 0; j < layer->outputs; j++) {
        if (!is_inside(bias_at(layer, j), -LIMIT_BIAS_MAX, LIMIT_BIAS_MAX)) {
            return false;
        }
    }
    return true;
}

/* The same for the exponents. */
static bool are_words_valid(const fixgrad_t *net)
{
    const uint32_t layers = net->layer_count;
    for (uint32_t l = 0; l < layers; l++) {
        if (!is_inside(word_at(net, l), LIMIT_WEIGHT_EXPONENT_MIN, LIMIT_WEIGHT_EXPONENT_MAX) ||
            !is_inside(word_at(net, layers + l), LIMIT_ACTIVATION_EXPONENT_MIN,
                       l == 0 ? LIMIT_INPUT_EXPONENT_MAX : 0)) {
            return false;
        }
    }
    return true;
}

/* Sets everything that follows from the head of a checked MODEL region. */
static void read_model(fixgrad_t *net, const uint8_t *model)
{
    const uint8_t format = model[MODEL_AT_INPUT_FORMAT];
    net->layers = model + MODEL_BYTES;
    net->layer_count = model[MODEL_AT_LAYER_COUNT];
    net->loss = model[MODEL_AT_LOSS];
    net->copies = model[MODEL_AT_MOMENTUM] == 0 ? 1 : 2;
    net->inputs = bytes_u16(model + MODEL_AT_INPUT_WIDTH);
    net->feature_max = (int16_t)bytes_u16(model + MODEL_AT_INPUT_MAX);
    net->feature_min = format == INPUT_U8 ? 0 : (int16_t)-net->feature_max;
}

/* Checks the state and lays `work` out: logits, then two rows that take turns.
 * Range: widths are below 2^16 and there are at most 255 layers, so the sums fit 32 bits where the
 * parameters are inside the region, which is looked at before they are read. */
static bool read_state(fixgrad_t *net, const uint8_t *state, uint32_t state_bytes)
{
    uint32_t row_bytes[2] = {0, 0}, left = state_bytes;
    layer_t layer = {0};
    net->state = state;
    for (uint32_t l = 0; l < net->layer_count; l++) {
        next_layer(net, l, &layer);
        if (layer.outputs > left / (2u * net->copies) / (layer.inputs + 2u) ||
            !is_layer_valid(&layer)) {
            return false;
        }
        left -= net->copies * parameter_bytes(&layer);
        const uint32_t bytes = (2u * layer.outputs + 3u) & ~3u;
        if (l + 1u < net->layer_count && bytes > row_bytes[l % 2u]) {
            row_bytes[l % 2u] = bytes;
        }
    }
    net->outputs = (uint16_t)layer.outputs;
    net->predictions = net->loss == LOSS_SOFTMAX_CROSS_ENTROPY ? 1 : net->outputs;
    net->row[0] = 4u * layer.outputs;
    net->row[1] = net->row[0] + row_bytes[0];
    net->work_bytes = net->row[1] + row_bytes[1];
    net->words = state + state_bytes - left;
    return left == 4u * (3u * net->layer_count + 1u) && are_words_valid(net);
}

int fixgrad_open(fixgrad_t *net, void *work, size_t work_bytes)
{
    store_record_t record;
    *net = (fixgrad_t){.work = work, .logits = work};
    if (!store_find(&record)) {
        return FIXGRAD_NO_NET;
    }
    const uint32_t left = record.bytes - KEPT_HEAD_BYTES;
    const uint32_t state_bytes = bytes_u32(record.payload + KEPT_AT_STATE);
    const uint32_t model_bytes = bytes_u32(record.payload + KEPT_AT_MODEL);
    if (record.bytes < KEPT_HEAD_BYTES || state_bytes > left || model_bytes > left - state_bytes) {
        return FIXGRAD_BAD_NET;
    }
    const uint8_t *state = record.payload + KEPT_HEAD_BYTES, *model = state + state_bytes;
    mlp_t checked; /* in no memory no model fits, but only a good one is refused for that */
    uint32_t detail;
    if (mlp_configure(&checked, model, model_bytes, NULL, 0, &detail) != STATUS_NO_MEMORY) {
        return FIXGRAD_BAD_NET;
    }
    read_model(net, model);
    if (!read_state(net, state, state_bytes)) {
        return FIXGRAD_BAD_NET;
    }
    net->logit_exponent = (int8_t)acc_exponent(net, net->layer_count - 1u);
    return net->work_bytes > work_bytes ? FIXGRAD_NO_MEMORY : FIXGRAD_OK;
}

int fixgrad_predict(const fixgrad_t *net, const int16_t *features, int32_t *prediction)
{
    for (uint32_t i = 0; i < net->inputs; i++) {
        if (!is_inside(features[i], net->feature_min, net->feature_max)) {
            return FIXGRAD_BAD_FEATURE;
        }
    }
    int32_t *logits = net->work;
    const int16_t *row = features;
    layer_t layer = {0};
    for (uint32_t l = 0; l < net->layer_count; l++) {
        next_layer(net, l, &layer);
        int16_t *next = (int16_t *)(void *)((uint8_t *)net->work + net->row[l % 2u]);
        const bool is_last = l + 1u == net->layer_count;
        const int32_t exponent = acc_exponent(net, l);
        const int32_t next_exponent = is_last ? 0 : word_at(net, net->layer_count + l + 1u);
        for (uint32_t j = 0; j < layer.outputs; j++) {
            const int32_t acc =
                dot(bias_at(&layer, j), layer.weights + j * layer.inputs, row, layer.inputs);
            if (is_last) {
                logits[j] = acc;
            } else {
                uint8_t gate;
                activation_stats_t unused = {0, 0};
                activation_forward(&layer.activation, &acc, 0, 1, exponent, next_exponent,
                                   next + j, &gate, &unused);
            }
        }
        row = next;
    }
    for (uint32_t i = 0; i < net->predictions; i++) {
        prediction[i] = loss_prediction(net->loss, logits, net->outputs, net->logit_exponent, i);
    }
    return FIXGRAD_OK;
}
