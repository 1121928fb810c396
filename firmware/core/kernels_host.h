/* The loops of kernels_host.c, compiled for each vector width: HOST_NAME and HOST_TARGET name them
 * and their instruction set; HOST_VECTOR is a vector of 32-bit sums, where there is one. */

/* Elements first .. first + count - 1 of a row. */
HOST_TARGET static void HOST_NAME(unpack)(const void *row, uint8_t format, uint32_t first,
                                          uint32_t count, int16_t *restrict out)
{
    if (format == INPUT_U8) {
        const uint8_t *restrict x = (const uint8_t *)row + first;
        for (uint32_t i = 0; i < count; i++) {
            out[i] = x[i];
        }
    } else if (format == INPUT_I8) {
        const int8_t *restrict x = (const int8_t *)row + first;
        for (uint32_t i = 0; i < count; i++) {
            out[i] = x[i];
        }
    } else {
        memcpy(out, (const int16_t *)row + first, count * sizeof *out);
    }
}

/* Four lanes of an output. Range: NUMERICS section 2, budget 1. */
HOST_TARGET static void HOST_NAME(dot)(const int16_t *restrict w,
                                       const int16_t (*restrict x)[ROW_COLUMNS], uint32_t count,
                                       int32_t *restrict sums)
{
#ifdef HOST_VECTOR
    enum { TERMS = sizeof(HOST_VECTOR) / sizeof *w };
    HOST_VECTOR parts[KERNELS_LANES] = {HOST_SET(0), HOST_SET(0), HOST_SET(0), HOST_SET(0)};
    uint32_t i = 0;
    for (; i + TERMS <= count; i += TERMS) {
        const HOST_VECTOR factors = HOST_LOAD((const void *)(w + i));
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            const HOST_VECTOR terms = HOST_LOAD((const void *)(x[lane] + i));
            parts[lane] = HOST_ADD(parts[lane], HOST_MULTIPLY_ADD(factors, terms));
        }
    }
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t part[TERMS / 2u];
        memcpy(part, &parts[lane], sizeof part);
        sums[lane] = 0;
        for (uint32_t k = 0; k < TERMS / 2u; k++) {
            sums[lane] += part[k];
        }
        for (uint32_t k = i; k < count; k++) {
            sums[lane] += w[k] * x[lane][k];
        }
    }
#else
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += w[i] * x[lane][i];
        }
        sums[lane] = sum;
    }
#endif
}

HOST_TARGET static void HOST_NAME(forward)(const kernels_layer_t *layer,
                                           const kernels_forward_t *forward, uint32_t first,
                                           uint32_t count, int32_t *acc, uint32_t stride)
{
    int16_t x[KERNELS_LANES][ROW_COLUMNS];
    for (uint32_t at = 0; at < layer->inputs; at += ROW_COLUMNS) {
        const uint32_t columns = smaller(layer->inputs - at, ROW_COLUMNS);
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            HOST_NAME(unpack)(forward->row[lane], layer->format, at, columns, x[lane]);
        }
        for (uint32_t j = 0; j < count; j++) {
            int32_t sums[KERNELS_LANES];
            HOST_NAME(dot)(layer->weights + (size_t)(first + j) * layer->inputs + at,
                           (const int16_t(*)[ROW_COLUMNS])x, columns, sums);
            for (uint32_t lane = 0; lane < forward->lanes; lane++) {
                int32_t *to = acc + lane * stride + j;
                *to = sums[lane] + (at == 0 ? forward->bias[first + j] : *to);
            }
        }
    }
}

HOST_TARGET static void HOST_NAME(backward)(const kernels_layer_t *layer,
                                            const kernels_backward_t *backward)
{
    const uint32_t inputs = layer->inputs;
    for (uint32_t at = 0; at < inputs; at += COLUMNS) {
        const uint32_t columns = smaller(inputs - at, COLUMNS);
        for (uint32_t lane = 0; lane < backward->lanes; lane++) {
            int32_t error[COLUMNS] = {0};
            for (uint32_t j = 0; j < layer->outputs; j++) {
                const int16_t *restrict w = layer->weights + (size_t)j * inputs + at;
                const int16_t d = backward->delta[kernels_delta_index(backward->quads, lane, j)];
                for (uint32_t i = 0; d != 0 && i < columns; i++) {
                    error[i] += w[i] * d;
                }
            }
            const size_t step = lane < 2u ? 4u * backward->quads : 4u;
            int32_t *out = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
            out += at / 2u * step;
            for (uint32_t i = 0; i < columns; i++) {
                out[i / 2u * step + i % 2u] = error[i];
            }
        }
    }
}

/* Two samples of `columns` inputs side by side; `filled` columns are written. */
HOST_TARGET static void HOST_NAME(pair_up)(const int16_t *restrict even, const int16_t *restrict odd,
                                           uint32_t columns, uint32_t filled, int16_t *restrict out)
{
    for (uint32_t i = 0; i < columns; i++) {
        out[2u * i] = even[i];
        out[2u * i + 1u] = odd[i];
    }
    memset(out + 2u * columns, 0, 4u * (filled - columns));
}

/* All samples of inputs at .. at + columns - 1. */
HOST_TARGET static void HOST_NAME(pack)(const kernels_layer_t *layer, const kernels_update_t *update,
                                        uint32_t at, uint32_t columns, uint32_t filled, int16_t *x)
{
    const size_t row_bytes = layer->inputs * (layer->format == INPUT_I16 ? (size_t)2 : 1u);
    const uint8_t *row = update->x;
    int16_t even[COLUMNS], odd[COLUMNS];
    memset(odd, 0, sizeof odd);
    for (uint32_t b = 0; b < update->count; b += 2u, x += 2u * filled) {
        HOST_NAME(unpack)(row + b * row_bytes, layer->format, at, columns, even);
        if (b + 1u < update->count) {
            HOST_NAME(unpack)(row + (b + 1u) * row_bytes, layer->format, at, columns, odd);
        } else {
            memset(odd, 0, sizeof odd);
        }
        HOST_NAME(pair_up)(even, odd, columns, filled, x);
    }
}

/* G of BLOCK columns. Range: NUMERICS section 2, budget 3. */
HOST_TARGET static void HOST_NAME(sum)(const host_pairs_t *pairs, const int16_t *restrict x,
                                       uint32_t filled, int32_t *restrict gradient)
{
#ifdef HOST_VECTOR
    enum { VECTORS = BLOCK * sizeof(int32_t) / sizeof(HOST_VECTOR) };
    HOST_VECTOR sums[VECTORS];
    for (uint32_t k = 0; k < VECTORS; k++) {
        sums[k] = HOST_SET(0);
    }
    for (uint32_t p = 0; p < pairs->count; p++) {
        const HOST_VECTOR d = HOST_SET(pairs->delta[p]);
        const HOST_VECTOR *from = (const void *)(x + (size_t)pairs->place[p] * 2u * filled);
        for (uint32_t k = 0; k < VECTORS; k++) {
            sums[k] = HOST_ADD(sums[k], HOST_MULTIPLY_ADD(d, HOST_LOAD(from + k)));
        }
    }
    for (uint32_t k = 0; k < VECTORS; k++) {
        HOST_STORE((HOST_VECTOR *)(void *)gradient + k, sums[k]);
    }
#else
    memset(gradient, 0, BLOCK * sizeof *gradient);
    for (uint32_t p = 0; p < pairs->count; p++) {
        const int16_t *from = x + (size_t)pairs->place[p] * 2u * filled;
        const int16_t even = host_half(pairs->delta[p], 0), odd = host_half(pairs->delta[p], 16);
        for (uint32_t i = 0; i < BLOCK; i++) {
            gradient[i] += even * from[2u * i] + odd * from[2u * i + 1u];
        }
    }
#endif
}

/* The same for a batch of any size, straight from the rows. */
HOST_TARGET static void HOST_NAME(sum_rows)(const kernels_layer_t *layer,
                                            const kernels_update_t *update, uint32_t j,
                                            uint32_t at, uint32_t columns,
                                            int32_t *restrict gradient)
{
    const size_t row_bytes = layer->inputs * (layer->format == INPUT_I16 ? (size_t)2 : 1u);
    const uint8_t *row = update->x;
    memset(gradient, 0, BLOCK * sizeof *gradient);
    for (uint32_t b = 0; b < update->count; b++, row += row_bytes) {
        const int16_t d = update->delta[kernels_turned_index(update->quads, b, j)];
        if (d != 0) {
            int16_t x[BLOCK];
            HOST_NAME(unpack)(row, layer->format, at, columns, x);
            for (uint32_t i = 0; i < columns; i++) {
                gradient[i] += d * x[i];
            }
        }
    }
}

/* The step of a block's weights; r: the state in front of the first one's draw. */
HOST_TARGET static int32_t HOST_NAME(step)(int16_t *restrict w, int16_t *restrict velocity,
                                           const int32_t *restrict gradient, uint32_t columns,
                                           uint32_t r, const kernels_update_t *given)
{
    const kernels_update_t update = *given;
    int32_t changed = 0;
    if (velocity != NULL) {
        for (uint32_t i = 0; i < columns; i++) {
            w[i] = kernels_step(w[i], velocity + i, gradient[i], random_draw(&r), &update,
                                &changed);
        }
    } else {
        for (uint32_t i = 0; i < columns; i++) {
            const uint32_t draw = r * host_jumps.multiplier[i] + host_jumps.increment[i];
            w[i] = kernels_step(w[i], NULL, gradient[i], draw, &update, &changed);
        }
    }
    return changed;
}

/* Inputs at .. at + columns - 1 of a row; x: packed, or NULL. r: the state in front of the first
 * one's draw. */
HOST_TARGET static int32_t HOST_NAME(update_row)(const kernels_layer_t *layer,
                                                 const kernels_update_t *update, uint32_t j,
                                                 uint32_t at, uint32_t columns, const int16_t *x,
                                                 uint32_t r)
{
    const uint32_t filled = (columns + BLOCK - 1u) / BLOCK * BLOCK;
    const random_jump_t next = {host_jumps.multiplier[BLOCK - 1], host_jumps.increment[BLOCK - 1]};
    host_pairs_t pairs;
    int32_t changed = 0;
    if (x != NULL) {
        find_pairs(update, j, &pairs);
        if (pairs.count == 0 && update->velocity == NULL) {
            return 0;
        }
    }
    for (uint32_t i = 0; i < columns; i += BLOCK, r = random_leap(r, next)) {
        const size_t place = (size_t)j * layer->inputs + at + i;
        const uint32_t count = smaller(columns - i, BLOCK);
        int32_t gradient[BLOCK];
        if (x != NULL) {
            HOST_NAME(sum)(&pairs, x + 2u * i, filled, gradient);
        } else {
            HOST_NAME(sum_rows)(layer, update, j, at + i, count, gradient);
        }
        changed |= HOST_NAME(step)(layer->weights + place,
                                   update->velocity == NULL ? NULL : update->velocity + place,
                                   gradient, count, r, update);
    }
    return changed;
}

HOST_TARGET static int32_t HOST_NAME(update)(const kernels_layer_t *layer,
                                             const kernels_update_t *update, uint32_t prng)
{
    const uint32_t inputs = layer->inputs;
    const random_jump_t row = random_jump(inputs);
    const bool packs = update->count <= SAMPLES_MAX;
    int16_t x[SAMPLES_MAX * COLUMNS];
    int32_t changed = 0;
    for (uint32_t at = 0; at < inputs; at += COLUMNS) {
        const uint32_t columns = smaller(inputs - at, COLUMNS);
        const uint32_t filled = (columns + BLOCK - 1u) / BLOCK * BLOCK;
        uint32_t r = random_ahead(prng, at);
        if (packs) {
            HOST_NAME(pack)(layer, update, at, columns, filled, x);
        }
        for (uint32_t j = 0; j < layer->outputs; j++, r = random_leap(r, row)) {
            changed |= HOST_NAME(update_row)(layer, update, j, at, columns, packs ? x : NULL, r);
        }
    }
    return changed;
}
