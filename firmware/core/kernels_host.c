/* The kernels for a process on a computer: loops for the compiler's vectors, and products of 16-bit
 * pairs where the processor adds them up. On x86 they are compiled twice; AVX2 is chosen at run
 * time where there is one. Weights are row-major. KERNELS_HOST: bytes of the widest vectors. */
#include "kernels.h"

#ifdef KERNELS_HOST

#include "kernels_step.h"
#include "protocol.h"

#include <stddef.h>
#include <string.h>
#if defined(__SSE2__) && KERNELS_HOST >= 16
#include <immintrin.h>
#define HOST_X86
#endif

/* Inputs unpacked at a time: of a row, of a batch; weights stepped at a time; the largest batch
 * that is packed. */
enum { ROW_COLUMNS = 1024, COLUMNS = 128, BLOCK = 32, SAMPLES_MAX = 128 };

/* The pairs of samples where a row of deltas is not 0, as two halves of a word. */
typedef struct {
    int32_t delta[SAMPLES_MAX / 2];
    uint8_t place[SAMPLES_MAX / 2];
    uint32_t count;
} host_pairs_t;

/* The maps of 1 .. BLOCK draws. */
static struct {
    uint32_t multiplier[BLOCK], increment[BLOCK];
} host_jumps;

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void fill_jumps(void)
{
    if (host_jumps.multiplier[0] == 0) {
        random_jump_t jump = {1u, 0u};
        for (uint32_t i = 0; i < BLOCK; i++) {
            (void)random_draw(&jump.increment);
            jump.multiplier *= RANDOM_MULTIPLIER;
            host_jumps.multiplier[i] = jump.multiplier;
            host_jumps.increment[i] = jump.increment;
        }
    }
}

static void find_pairs(const kernels_update_t *update, uint32_t j, host_pairs_t *pairs)
{
    uint32_t count = 0;
    for (uint32_t b = 0; b < update->count; b += 2u) {
        int32_t delta;
        memcpy(&delta, update->delta + kernels_turned_index(update->quads, b, j), sizeof delta);
        pairs->delta[count] = delta;
        pairs->place[count] = (uint8_t)(b / 2u);
        count += delta != 0;
    }
    pairs->count = count;
}

#ifdef HOST_X86
#define HOST_NAME(name) name##_narrow
#define HOST_TARGET
#define HOST_VECTOR __m128i
#define HOST_SET _mm_set1_epi32
#define HOST_ADD _mm_add_epi32
#define HOST_MULTIPLY_ADD _mm_madd_epi16
#define HOST_LOAD _mm_loadu_si128
#define HOST_STORE _mm_storeu_si128
#else
static int16_t host_half(int32_t halves, uint32_t shift)
{
    return (int16_t)(uint16_t)((uint32_t)halves >> shift);
}
#define HOST_NAME(name) name##_narrow
#define HOST_TARGET
#endif
#include "kernels_host.h"

#if defined(HOST_X86) && KERNELS_HOST >= 32
#undef HOST_NAME
#undef HOST_TARGET
#undef HOST_VECTOR
#undef HOST_SET
#undef HOST_ADD
#undef HOST_MULTIPLY_ADD
#undef HOST_LOAD
#undef HOST_STORE
#define HOST_NAME(name) name##_wide
#define HOST_TARGET __attribute__((target("avx2")))
#define HOST_VECTOR __m256i
#define HOST_SET _mm256_set1_epi32
#define HOST_ADD _mm256_add_epi32
#define HOST_MULTIPLY_ADD _mm256_madd_epi16
#define HOST_LOAD _mm256_loadu_si256
#define HOST_STORE _mm256_storeu_si256
#include "kernels_host.h"

static bool is_wide(void)
{
    return __builtin_cpu_supports("avx2");
}
#define WIDEST(name) (is_wide() ? name##_wide : name##_narrow)
#else
#define WIDEST(name) name##_narrow
#endif

void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    WIDEST(forward)(layer, forward, first, count, acc, stride);
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    WIDEST(backward)(layer, backward);
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    fill_jumps();
    const int32_t changed = WIDEST(update)(layer, update, *prng);
    *prng = random_ahead(*prng, (uint32_t)layer->inputs * layer->outputs);
    return changed != 0;
}

#endif
