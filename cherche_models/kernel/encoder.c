/* A BERT encoder's forward pass over short texts, in float32, without the costs that a library has for each operation.
 *
 * forward.h has the pass, compiled for each set of instructions. Texts lie one after another without padding. A token's
 * sums do not depend on how many others there are, so a text has the same bits beside any company. Sums have another order
 * than torch's: both are the same to some 1e-6.
 *
 * The vocabulary's products are screened in 8 bits, see cherche_models/runtime/screen.py: a bound, so that no term is lost.
 *
 * C11 for GCC and Clang; encoder.py calls it. It writes to its outputs alone, and holds nothing between calls.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum {
    PANEL = 32,   /* terms that are screened at once */
    WIDEST = 8192, /* 255 * 127 * 8192 < 2^31: no sum of the screen leaves 32 bits */
    MOST = 1 << 16,
    ALIGNED = 64,
};

typedef float Quad __attribute__((vector_size(16)));

/* Also in encoder.py. Each part is float32 or, if `half`, bfloat16; matrices are (outputs, inputs). */
typedef struct {
    int64_t hidden, layers, heads, inner, words, positions;
    float epsilon;
    int32_t half;
    /* Embeddings of words, positions and of the first type, gain and shift of their norm. Of each layer: queries, keys,
     * values and the output of attention, gain and shift of its norm, the inner map and the outer, gain and shift of
     * their norm; maps as matrix and bias. Of a masked-LM head: its map, gain and shift of its norm. */
    const void *const *parts;
} Encoder;

/* From transformed hidden states to logits. Also in encoder.py. */
typedef struct {
    int64_t terms, width;
    const void *weight; /* (terms, width) */
    const void *bias;   /* (terms,), or null */
    const uint8_t *grid; /* (terms / PANEL, width / 4, PANEL, 4): the matrix on its int8 grid, plus 128 */
    const float *table;  /* (3, terms): what bounds depend on */
    int32_t half;
} Decoder;

/* Room for the values between, and the texts. */
typedef struct {
    const int64_t *lengths;
    int64_t texts, tokens;
    int half;
    float *queries, *keys, *values, *context, *inner, *turned, *scores;
    Quad *products;
} Work;

/* A text's transformed hidden states on their int8 grid. */
typedef struct {
    int64_t tokens, width; /* tokens up to a multiple of 4: the first is repeated, which changes no maximum */
    int8_t *values;
    int32_t *starts; /* -128 times the sum of each token */
    float factors[3];
} Grid;

INLINE float number(const void *from, int64_t at, int half) {
    if (!half)
        return ((const float *)from)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The largest sum over tokens for each term of a panel. */
static void screen_plain(const uint8_t *panel, const Grid *grid, int32_t *best) {
    for (int64_t token = 0; token < grid->tokens; token++) {
        const int8_t *values = grid->values + token * grid->width;
        int32_t sums[PANEL];
        for (int i = 0; i < PANEL; i++)
            sums[i] = grid->starts[token];
        for (int64_t k = 0; k < grid->width; k += 4)
            for (int i = 0; i < PANEL; i++) {
                const uint8_t *four = panel + k * PANEL + 4 * i;
                sums[i] += values[k] * four[0] + values[k + 1] * four[1] + values[k + 2] * four[2] + values[k + 3] * four[3];
            }
        for (int i = 0; i < PANEL; i++)
            best[i] = token && best[i] > sums[i] ? best[i] : sums[i];
    }
}

INLINE Quad totals_plain(Quad a, Quad b, Quad c, Quad d) {
    return (Quad){a[0] + a[1] + a[2] + a[3], b[0] + b[1] + b[2] + b[3], c[0] + c[1] + c[2] + c[3], d[0] + d[1] + d[2] + d[3]};
}

#define IN(name) name##_plain
#define TARGET
#define LANES 4
#define ROWS 2
#define TOTALS totals_plain
#define SCREEN screen_plain
#include "forward.h"
#undef IN
#undef TARGET
#undef LANES
#undef ROWS
#undef TOTALS
#undef SCREEN

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))

INLINE AVX2 Quad totals_avx2(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return (Quad)_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

INLINE AVX512 __m256 halved(__m512 a) { return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)); }

INLINE AVX512 Quad totals_avx512(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(halved(a), halved(b)), _mm256_hadd_ps(halved(c), halved(d)));
    return (Quad)_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

/* Four terms in one register: products of 16 bits, whose pairs are summed. */
static AVX2 void screen_avx2(const uint8_t *panel, const Grid *grid, int32_t *best) {
    for (int64_t token = 0; token < grid->tokens; token += 2)
        for (int at = 0; at < PANEL; at += 8) {
            const int8_t *values = grid->values + token * grid->width;
            __m256i sums[2][2] = {{_mm256_setzero_si256(), _mm256_setzero_si256()},
                                  {_mm256_setzero_si256(), _mm256_setzero_si256()}};
            for (int64_t k = 0; k < grid->width; k += 4) {
                __m256i left[2];
                for (int i = 0; i < 2; i++)
                    left[i] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(panel + k * PANEL + 4 * at) + i));
                for (int row = 0; row < 2; row++) {
                    int32_t four;
                    memcpy(&four, values + row * grid->width + k, sizeof four);
                    __m256i right = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
                    for (int i = 0; i < 2; i++)
                        sums[row][i] = _mm256_add_epi32(sums[row][i], _mm256_madd_epi16(left[i], right));
                }
            }
            __m256i most = token ? _mm256_loadu_si256((const __m256i *)(best + at)) : _mm256_set1_epi32(INT32_MIN);
            for (int row = 0; row < 2; row++) {
                __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[row][0], sums[row][1]), 0xd8);
                most = _mm256_max_epi32(most, _mm256_add_epi32(pairs, _mm256_set1_epi32(grid->starts[token + row])));
            }
            _mm256_storeu_si256((__m256i *)(best + at), most);
        }
}

INLINE AVX512 void screen_rows(const uint8_t *panel, const Grid *grid, int64_t token, const int rows, __m512i *most) {
    __m512i sums[8][2];
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = _mm512_set1_epi32(grid->starts[token + row]);
    const int8_t *values = grid->values + token * grid->width;
    for (int64_t k = 0; k < grid->width; k += 4) {
        __m512i left[2] = {_mm512_loadu_si512(panel + k * PANEL), _mm512_loadu_si512(panel + k * PANEL + 64)};
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            int32_t four;
            memcpy(&four, values + row * grid->width + k, sizeof four);
            __m512i right = _mm512_set1_epi32(four);
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) /* as in maxsim.c: GCC 12 copies the sums around its intrinsic */
                __asm__("vpdpbusd %2, %1, %0" : "+v"(sums[row][i]) : "v"(left[i]), "v"(right));
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++) {
        most[0] = _mm512_max_epi32(most[0], sums[row][0]);
        most[1] = _mm512_max_epi32(most[1], sums[row][1]);
    }
}

static AVX512 void screen_avx512(const uint8_t *panel, const Grid *grid, int32_t *best) {
    __m512i most[2] = {_mm512_set1_epi32(INT32_MIN), _mm512_set1_epi32(INT32_MIN)};
    int64_t token = 0;
    for (; token + 8 <= grid->tokens; token += 8)
        screen_rows(panel, grid, token, 8, most);
    if (token < grid->tokens)
        screen_rows(panel, grid, token, 4, most);
    _mm512_storeu_si512(best, most[0]);
    _mm512_storeu_si512(best + 16, most[1]);
}

#define IN(name) name##_avx2
#define TARGET AVX2
#define LANES 8
#define ROWS 3
#define TOTALS totals_avx2
#define SCREEN screen_avx2
#include "forward.h"
#undef IN
#undef TARGET
#undef LANES
#undef ROWS
#undef TOTALS
#undef SCREEN

#define IN(name) name##_avx512
#define TARGET AVX512
#define LANES 16
#define ROWS 6
#define TOTALS totals_avx512
#define SCREEN screen_avx512
#include "forward.h"
#elif defined(__aarch64__)
INLINE Quad totals_neon(Quad a, Quad b, Quad c, Quad d) {
    return (Quad)vpaddq_f32(vpaddq_f32((float32x4_t)a, (float32x4_t)b), vpaddq_f32((float32x4_t)c, (float32x4_t)d));
}

/* Sums of four products each. Two products of the grid's integers are at most 2 * 128 * 127: they fit 16 bits. */
INLINE int32x4_t dot(int32x4_t sums, int8x16_t left, int8x16_t right) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sums, left, right);
#else
    int16x8_t low = vmull_s8(vget_low_s8(left), vget_low_s8(right));
    return vpadalq_s16(sums, vpaddq_s16(low, vmull_high_s8(left, right)));
#endif
}

/* Both factors have a sign here: no need of `starts`, which takes the 128 away again. */
static void screen_neon(const uint8_t *panel, const Grid *grid, int32_t *best) {
    const uint8x16_t middle = vdupq_n_u8(128);
    for (int at = 0; at < PANEL; at += 16) {
        int32x4_t most[4];
        for (int i = 0; i < 4; i++)
            most[i] = vdupq_n_s32(INT32_MIN);
        for (int64_t token = 0; token < grid->tokens; token += 4) {
            const int8_t *values = grid->values + token * grid->width;
            int32x4_t sums[4][4];
#pragma GCC unroll 4
            for (int row = 0; row < 4; row++)
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    sums[row][i] = vdupq_n_s32(0);
            for (int64_t k = 0; k < grid->width; k += 4) {
                int8x16_t left[4];
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    left[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel + k * PANEL + 4 * at + 16 * i), middle));
#pragma GCC unroll 4
                for (int row = 0; row < 4; row++) {
                    int32_t four;
                    memcpy(&four, values + row * grid->width + k, sizeof four);
                    int8x16_t right = vreinterpretq_s8_s32(vdupq_n_s32(four));
#pragma GCC unroll 4
                    for (int i = 0; i < 4; i++)
                        sums[row][i] = dot(sums[row][i], left[i], right);
                }
            }
#pragma GCC unroll 4
            for (int row = 0; row < 4; row++)
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    most[i] = vmaxq_s32(most[i], sums[row][i]);
        }
        for (int i = 0; i < 4; i++)
            vst1q_s32(best + at + 4 * i, most[i]);
    }
}

#define IN(name) name##_neon
#define TARGET
#define LANES 4
#define ROWS 6
#define TOTALS totals_neon
#define SCREEN screen_neon
#include "forward.h"
#endif

/* As PATHS in maxsim.c, whose `cherche_path` names them and knows what the processor has. */
static const struct {
    void (*hidden_states)(const Encoder *, const int64_t *, const Work *, float *);
    void (*transformed)(const Encoder *, const float *, const Work *, float *);
    int64_t (*positive)(const Decoder *, const float *, int64_t, const Grid *, Quad *, int32_t *, float *);
} PASSES[] = {
    {hidden_states_plain, transformed_plain, positive_plain},
#if defined(__x86_64__)
    {hidden_states_avx2, transformed_avx2, positive_avx2},
    {hidden_states_avx512, transformed_avx512, positive_avx512},
#elif defined(__aarch64__)
    {hidden_states_neon, transformed_neon, positive_neon},
#endif
};

const char *cherche_path(int32_t path);

/* Takes room of one block of memory; counts only, where there is none. */
typedef struct {
    char *block;
    int64_t used;
} Store;

static void *take(Store *store, int64_t bytes) {
    void *found = store->block ? store->block + store->used : NULL;
    store->used += (bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
    return found;
}

static void plan(Store *store, const Encoder *encoder, int64_t longest, Work *work) {
    int64_t padded = longest + 16, rows = work->tokens * encoder->hidden * 4;
    work->queries = take(store, rows);
    work->keys = take(store, rows);
    work->values = take(store, rows);
    work->context = take(store, rows);
    work->inner = take(store, work->tokens * encoder->inner * 4);
    work->turned = take(store, encoder->hidden / encoder->heads * padded * 4);
    work->scores = take(store, padded * 4);
    work->products = take(store, work->tokens * (int64_t)sizeof *work->products);
}

static char *room(int64_t bytes) { return aligned_alloc(ALIGNED, (size_t)(bytes + ALIGNED)  / ALIGNED * ALIGNED); }

/* Tokens of all texts; -1 where a length is out of range. */
static int64_t count(const int64_t *lengths, int64_t texts, int64_t most) {
    int64_t tokens = 0;
    if (texts < 1 || texts > MOST)
        return -1;
    for (int64_t text = 0; text < texts; text++) {
        if (lengths[text] < 1 || lengths[text] > most)
            return -1;
        tokens += lengths[text];
    }
    return tokens > MOST ? -1 : tokens;
}

static int is_sound(const Encoder *encoder) {
    int64_t hidden = encoder->hidden, inner = encoder->inner;
    return hidden >= 16 && hidden <= WIDEST && hidden % 16 == 0 && inner >= 16 && inner <= 4 * WIDEST && inner % 16 == 0 &&
           encoder->heads >= 1 && hidden % encoder->heads == 0 && encoder->layers >= 0 && encoder->layers <= 1000;
}

/* Last hidden states: (tokens, hidden) float32.
 *
 * ids: (tokens,). lengths: (texts,). Returns 0, or -1, with nothing written, where an argument is out of range, the
 * processor lacks the path, or there is no memory.
 */
EXPORT int32_t cherche_hidden_states(int32_t path, const Encoder *encoder, const int64_t *ids, const int64_t *lengths,
                                     int64_t texts, float *hidden) {
    if (!cherche_path(path) || !is_sound(encoder))
        return -1;
    Work work = {.lengths = lengths, .texts = texts, .half = encoder->half};
    work.tokens = count(lengths, texts, encoder->positions);
    int64_t longest = 0;
    for (int64_t text = 0; work.tokens > 0 && text < texts; text++)
        longest = lengths[text] > longest ? lengths[text] : longest;
    for (int64_t token = 0; token < work.tokens; token++)
        if (ids[token] < 0 || ids[token] >= encoder->words)
            return -1;
    Store store = {0};
    plan(&store, encoder, longest, &work);
    if (work.tokens < 0 || !(store.block = room(store.used)))
        return -1;
    store.used = 0;
    plan(&store, encoder, longest, &work);
    PASSES[path].hidden_states(encoder, ids, &work, hidden);
    free(store.block);
    return 0;
}

/* Input of the vocabulary's decoder: (tokens, hidden) float32, of hidden states of that shape. Returns as above. */
EXPORT int32_t cherche_transformed(int32_t path, const Encoder *encoder, const float *hidden, int64_t tokens, float *out) {
    if (!cherche_path(path) || !is_sound(encoder) || tokens < 1 || tokens > MOST)
        return -1;
    Work work = {.tokens = tokens, .half = encoder->half};
    work.products = (Quad *)room(tokens * (int64_t)sizeof *work.products);
    if (!work.products)
        return -1;
    PASSES[path].transformed(encoder, hidden, &work, out);
    free(work.products);
    return 0;
}

static float length(const float *row, int64_t width) {
    double squares = 0;
    for (int64_t i = 0; i < width; i++)
        squares += (double)row[i] * row[i];
    return (float)sqrt(squares);
}

/* One scale for the text, so that the maximum over its tokens can be taken of integers; as Screen.candidates in Python. */
static void fill(Grid *grid, const float *rows, int64_t tokens) {
    const float rounding = 0x1p-14f, smallest = FLT_MIN * 0x1p24f;
    const int64_t width = grid->width;
    float scale = 0, bounds[2] = {0};
    for (int64_t i = 0; i < tokens * width; i++)
        scale = fabsf(rows[i]) > scale ? fabsf(rows[i]) : scale;
    scale = scale / 127 > smallest ? scale / 127 : smallest;
    for (int64_t token = 0; token < grid->tokens; token++) {
        const float *row = rows + (token < tokens ? token : 0) * width;
        double left = 0;
        grid->starts[token] = 0;
        for (int64_t i = 0; i < width; i++) {
            float value = rintf(row[i] / scale), off = row[i] - value * scale;
            grid->values[token * width + i] = (int8_t)value;
            grid->starts[token] -= 128 * (int32_t)value;
            left += (double)off * off;
        }
        float norm = length(row, width), rest = (float)sqrt(left);
        bounds[0] = fmaxf(bounds[0], rest + rounding * norm);
        bounds[1] = fmaxf(bounds[1], norm + rest);
    }
    grid->factors[0] = 1 / scale;
    grid->factors[1] = -bounds[0] / scale;
    grid->factors[2] = -bounds[1] / scale;
}

/* Terms with a positive largest logit, bias included, of each text; a text's lie behind those of the one before.
 *
 * rows: (tokens, width) float32, all finite. terms, logits: room for `terms` values of each text. counts: (texts,).
 * Returns as above.
 */
EXPORT int32_t cherche_positive_logits(int32_t path, const Decoder *decoder, const float *rows, const int64_t *lengths,
                                       int64_t texts, int32_t *terms, float *logits, int64_t *counts) {
    int64_t width = decoder->width, longest = 0, tokens = count(lengths, texts, MOST);
    if (!cherche_path(path) || tokens < 1 || width < 16 || width > WIDEST || width % 16 || decoder->terms < 1 ||
        decoder->terms > INT32_MAX)
        return -1;
    for (int64_t i = 0; i < tokens * width; i++)
        if (!isfinite(rows[i]))
            return -1;
    for (int64_t text = 0; text < texts; text++)
        longest = lengths[text] > longest ? lengths[text] : longest;
    longest = (longest + 3) / 4 * 4;
    char *block = room(longest * (width + 4 + (int64_t)sizeof(Quad)));
    if (!block)
        return -1;
    Quad *products = (Quad *)block;
    Grid grid = {.width = width, .starts = (int32_t *)(products + longest)};
    grid.values = (int8_t *)(grid.starts + longest);
    for (int64_t text = 0, found = 0; text < texts; rows += lengths[text++] * width) {
        grid.tokens = (lengths[text] + 3) / 4 * 4;
        fill(&grid, rows, lengths[text]);
        counts[text] = PASSES[path].positive(decoder, rows, lengths[text], &grid, products, terms + found, logits + found);
        found += counts[text];
    }
    free(block);
    return 0;
}
