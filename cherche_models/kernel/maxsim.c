/* MaxSim of a query with stored int8 codes, straight from their bytes.
 *
 * Every query token becomes integers: `high` has 16 bits and finds its best document token, `low` has the next 15 and
 * takes part in the similarity with that one alone. Products and sums are exact, so all paths give the same bits; the
 * similarities are those of the float32 query, unless two document tokens are nearer to each other than half a step of
 * `high`, 1 / 65534 of the query token's largest component.
 *
 * C11 for GCC and Clang; library.py loads it. It knows nothing of Python, and writes to its outputs alone.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum {
    WIDEST = 512, /* 32767 * 128 * 512 < 2^31: no sum of products leaves 32 bits */
    ROWS = 8,     /* document tokens that share one read of the query */
    LAST = 4,     /* the same for the last ones of a document */
    ALIGNED = 64,
};

/* A document's codes, whose size is what their header says. */
typedef struct {
    const uint8_t *scales;
    const int8_t *values;
    int64_t tokens;
} Document;

typedef struct {
    int64_t tokens;
    int64_t dim;
    int64_t padded;  /* tokens up to a multiple of a path's lanes; those added are zeros */
    int64_t width;   /* dim up to a multiple of 32; the components added are zeros */
    int16_t *high;   /* (tokens, width) */
    int16_t *low;    /* (tokens, width) */
    double *sizes;   /* of a step of `high`, for each token */
    int16_t *lanes;  /* `high` with tokens side by side, two components of each: pair i of token t at (i * padded + t) * 2 */
    float *best;     /* (padded,): the largest similarity so far, and its document token */
    int32_t *places;
} Query;

/* Stored integers are little-endian. */
INLINE uint32_t u16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap16(value);
}

INLINE uint32_t u32(const uint8_t *at) { return u16(at) | u16(at + 2) << 16; }

/* Takes int8 codes apart as cherche_models.codes.frame does. 0 for whatever that refuses, or gives to another codec. */
static int parse(const uint8_t *data, int64_t length, int64_t dim, Document *found) {
    enum { HEADER = 10, INT8 = 1, PLAIN = 1, CHUNKED = 2 };
    if (!data || length < HEADER || data[0] != 'C' || data[1] != 'C' || data[3] != INT8 || u16(data + 4) != dim)
        return 0;
    int64_t tokens = u32(data + 6), end = length;
    if (data[2] == CHUNKED) {
        int64_t count = u16(data + length - 2), rows = 0;
        end = length - 2 - 4 * count;
        if (count < 2 || end < HEADER)
            return 0;
        for (int64_t i = 0; i < count; i++)
            rows += u32(data + end + 4 * i);
        if (rows != tokens)
            return 0;
    } else if (data[2] != PLAIN) {
        return 0;
    }
    if (tokens > INT32_MAX || end != HEADER + tokens * (2 + dim))
        return 0;
    uint32_t worst = 0;
    for (int64_t i = 0; i < tokens; i++) {
        uint32_t half = u16(data + HEADER + 2 * i);
        worst = half > worst ? half : worst;
    }
    if (worst >= 0x7c00) /* negative, infinite or NaN */
        return 0;
    *found = (Document){data + HEADER, (const int8_t *)data + HEADER + 2 * tokens, tokens};
    return 1;
}

/* float16, positive and finite, as float32. */
INLINE float scale(const uint8_t *at) {
    uint32_t half = u16(at), bits = (half << 13) + (112u << 23);
    float normal, subnormal = (float)(int32_t)half * 0x1p-24f;
    memcpy(&normal, &bits, sizeof normal);
    return half < 0x400 ? subnormal : normal;
}

/* One token as int16. */
INLINE void widen(const Document *document, int64_t token, const Query *query, int16_t *wide) {
    const int8_t *values = document->values + token * query->dim;
    for (int64_t i = 0; i < query->dim; i++)
        wide[i] = values[i];
}

/* Some tokens as int16, and their scales. Beyond the document's end its last token is repeated: seen twice, it wins no more
 * than once. */
INLINE void take(const Document *document, int64_t first, const int rows, const Query *query, int16_t *wide, float *scales) {
    if (first + rows <= document->tokens) {
        for (int row = 0; row < rows; row++)
            widen(document, first + row, query, wide + row * query->width);
        for (int row = 0; row < rows; row++)
            scales[row] = scale(document->scales + 2 * (first + row));
        return;
    }
    for (int row = 0; row < rows; row++) {
        int64_t token = first + row < document->tokens ? first + row : document->tokens - 1;
        widen(document, token, query, wide + row * query->width);
        scales[row] = scale(document->scales + 2 * token);
    }
}

/* The similarities of each query token with its best document token in all 31 bits of the query, summed first to last. */
INLINE float total(const Document *document, const Query *query, int16_t *wide) {
    double sum = 0;
    for (int64_t token = 0; token < query->tokens; token++) {
        const int16_t *high = query->high + token * query->width, *low = query->low + token * query->width;
        int32_t place = query->places[token], highs = 0, lows = 0;
        widen(document, place, query, wide);
        for (int64_t i = 0; i < query->width; i++)
            highs += (int32_t)high[i] * wide[i];
        for (int64_t i = 0; i < query->width; i++)
            lows += (int32_t)low[i] * wide[i];
        sum += ((double)highs + (double)lows / 32768) * scale(document->scales + 2 * place) * query->sizes[token];
    }
    return (float)sum;
}

/* MaxSim with a document of at least one token. Fills `best` and `places`, in which the first of equal document tokens
 * wins; `wide` has room for ROWS tokens, and zeros where it is padded. */
typedef float (*Path)(const Document *document, Query *query, int16_t *wide);

/* With what vector instructions the compiler assumes of any processor of the platform: SSE2, or NEON on ARM. */
static float plain(const Document *document, Query *query, int16_t *wide) {
    for (int64_t first = 0; first < document->tokens; first++) {
        float factor = scale(document->scales + 2 * first);
        widen(document, first, query, wide);
        for (int64_t token = 0; token < query->tokens; token++) {
            const int16_t *high = query->high + token * query->width;
            int32_t sum = 0;
            for (int64_t i = 0; i < query->width; i++)
                sum += (int32_t)high[i] * wide[i];
            float similarity = (float)sum * factor;
            if (similarity > query->best[token]) {
                query->best[token] = similarity;
                query->places[token] = (int32_t)first;
            }
        }
    }
    return total(document, query, wide);
}

#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define AVX2 __attribute__((target("avx2")))

/* Similarities of some document tokens with 16 or 32 query tokens, from token `at` on. */
INLINE AVX512 void compare512(Query *query, const int16_t *wide, const float *scales, int64_t first, int64_t at,
                              const int rows, const int blocks) {
    __m512i sums[ROWS][2];
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    const int16_t *lanes = query->lanes + 2 * at;
    for (int64_t i = 0; i < query->width; i += 2, lanes += 2 * query->padded) {
        __m512i left[2];
#pragma GCC unroll 2
        for (int block = 0; block < blocks; block++)
            left[block] = _mm512_load_si512(lanes + 32 * block);
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            int32_t pair;
            memcpy(&pair, wide + row * query->width + i, sizeof pair);
            __m512i right = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int block = 0; block < blocks; block++) /* GCC 12 copies the sums to the stack around its intrinsic */
                __asm__("vpdpwssd %2, %1, %0" : "+v"(sums[row][block]) : "v"(left[block]), "v"(right));
        }
    }
#pragma GCC unroll 2
    for (int block = 0; block < blocks; block++) {
        float *best = query->best + at + 16 * block;
        int32_t *places = query->places + at + 16 * block;
        __m512 most = _mm512_load_ps(best);
        __m512i place = _mm512_load_si512(places);
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            __m512 similarity = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[row][block]), _mm512_set1_ps(scales[row]));
            __mmask16 more = _mm512_cmp_ps_mask(similarity, most, _CMP_GT_OQ);
            most = _mm512_mask_mov_ps(most, more, similarity);
            place = _mm512_mask_mov_epi32(place, more, _mm512_set1_epi32((int32_t)first + row));
        }
        _mm512_store_ps(best, most);
        _mm512_store_si512(places, place);
    }
}

INLINE AVX512 void rows512(const Document *document, Query *query, int16_t *wide, int64_t first, const int rows) {
    float scales[ROWS];
    take(document, first, rows, query, wide, scales);
    int64_t at = 0;
    for (; at + 32 <= query->padded; at += 32)
        compare512(query, wide, scales, first, at, rows, 2);
    if (at < query->padded)
        compare512(query, wide, scales, first, at, rows, 1);
}

static AVX512 float avx512(const Document *document, Query *query, int16_t *wide) {
    int64_t first = 0;
    for (; first + LAST < document->tokens; first += ROWS)
        rows512(document, query, wide, first, ROWS);
    if (first < document->tokens)
        rows512(document, query, wide, first, LAST);
    return total(document, query, wide);
}

static AVX2 float avx2(const Document *document, Query *query, int16_t *wide) {
    float scales[LAST];
    for (int64_t first = 0; first < document->tokens; first += LAST) {
        take(document, first, LAST, query, wide, scales);
        for (int64_t at = 0; at < query->padded; at += 16) {
            __m256i sums[LAST][2];
#pragma GCC unroll 4
            for (int row = 0; row < LAST; row++)
                sums[row][0] = sums[row][1] = _mm256_setzero_si256();
            const int16_t *lanes = query->lanes + 2 * at;
            for (int64_t i = 0; i < query->width; i += 2, lanes += 2 * query->padded) {
                __m256i left[2] = {_mm256_load_si256((const __m256i *)lanes), _mm256_load_si256((const __m256i *)lanes + 1)};
#pragma GCC unroll 4
                for (int row = 0; row < LAST; row++) {
                    int32_t pair;
                    memcpy(&pair, wide + row * query->width + i, sizeof pair);
                    __m256i right = _mm256_set1_epi32(pair);
                    sums[row][0] = _mm256_add_epi32(sums[row][0], _mm256_madd_epi16(left[0], right));
                    sums[row][1] = _mm256_add_epi32(sums[row][1], _mm256_madd_epi16(left[1], right));
                }
            }
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                float *best = query->best + at + 8 * half;
                int32_t *places = query->places + at + 8 * half;
                __m256 most = _mm256_load_ps(best), place = _mm256_load_ps((const float *)places);
#pragma GCC unroll 4
                for (int row = 0; row < LAST; row++) {
                    __m256 similarity = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[row][half]), _mm256_set1_ps(scales[row]));
                    __m256 more = _mm256_cmp_ps(similarity, most, _CMP_GT_OQ);
                    most = _mm256_blendv_ps(most, similarity, more);
                    place = _mm256_blendv_ps(place, _mm256_castsi256_ps(_mm256_set1_epi32((int32_t)first + row)), more);
                }
                _mm256_store_ps(best, most);
                _mm256_store_ps((float *)places, place);
            }
        }
    }
    return total(document, query, wide);
}
#endif

/* The plainest first; each with the query tokens that it takes at once. */
static const struct {
    const char *name;
    Path run;
    int64_t lanes;
} PATHS[] = {
    {"plain", plain, 1},
#if defined(__x86_64__)
    {"avx2", avx2, 16},
    {"avx512vnni", avx512, 16},
#endif
};

static void *room(int64_t bytes) {
    void *found = aligned_alloc(ALIGNED, (size_t)(bytes + ALIGNED - 1) / ALIGNED * ALIGNED);
    if (found)
        memset(found, 0, (size_t)bytes);
    return found;
}

static void forget(Query *query) {
    free(query->high);
    free(query->low);
    free(query->sizes);
    free(query->lanes);
    free(query->best);
    free(query->places);
}

/* 0 where a component is infinite or NaN. */
static int read_query(const float *vectors, Query *query) {
    for (int64_t token = 0; token < query->tokens; token++) {
        const float *row = vectors + token * query->dim;
        double peak = 0;
        for (int64_t i = 0; i < query->dim; i++) {
            if (!isfinite(row[i]))
                return 0;
            peak = fmax(peak, fabs((double)row[i]));
        }
        query->sizes[token] = peak / 32767;
        for (int64_t i = 0; i < query->dim && peak > 0; i++) {
            double steps = row[i] / query->sizes[token];
            long high = lrint(steps);
            query->high[token * query->width + i] = (int16_t)high;
            query->low[token * query->width + i] = (int16_t)lrint((steps - (double)high) * 32768);
            query->lanes[(i / 2 * query->padded + token) * 2 + i % 2] = (int16_t)high;
        }
    }
    return 1;
}

/* What it was compiled from, so that a library that is older than its source is noticed. */
EXPORT const char *cherche_source(void) { return CHERCHE_SOURCE; }

/* The name of a path; null for one that this processor lacks, and past the last. */
EXPORT const char *cherche_path(int32_t path) {
    if (path < 0 || path >= (int32_t)(sizeof PATHS / sizeof *PATHS))
        return NULL;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int has512 = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if ((path == 1 && !__builtin_cpu_supports("avx2")) || (path == 2 && !has512))
        return NULL;
#endif
    return PATHS[path].name;
}

/* Scores the items that are int8 codes of the query's width, and says which in `scored`; the others keep their score.
 *
 * vectors: (tokens, dim) float32. items, lengths: (count,) bytes of each document; null for none.
 * scores: (count,) float32, -infinity for a document without tokens. scored: (count,) of 0 or 1.
 * Returns 0, or -1, with nothing scored, where an argument is out of range, the processor lacks the path, the query is not
 * finite, or there is no memory.
 */
EXPORT int32_t cherche_maxsim(int32_t path, const float *vectors, int64_t tokens, int64_t dim, const uint8_t *const *items,
                              const int64_t *lengths, int64_t count, float *scores, uint8_t *scored) {
    if (!cherche_path(path) || dim < 1 || dim > WIDEST || tokens < 1 || tokens > 1 << 20 || count < 0)
        return -1;
    int64_t lanes = PATHS[path].lanes;
    Query query = {.tokens = tokens, .dim = dim, .padded = (tokens + lanes - 1) / lanes * lanes, .width = (dim + 31) / 32 * 32};
    query.high = room(tokens * query.width * 2);
    query.low = room(tokens * query.width * 2);
    query.lanes = room(query.padded * query.width * 2);
    query.sizes = room(tokens * 8);
    query.best = room(query.padded * 4);
    query.places = room(query.padded * 4);
    int complete = query.high && query.low && query.lanes && query.sizes && query.best && query.places;
    if (!complete || !read_query(vectors, &query)) {
        forget(&query);
        return -1;
    }
    int16_t wide[ROWS * WIDEST] __attribute__((aligned(ALIGNED)));
    memset(wide, 0, sizeof wide);
    for (int64_t item = 0; item < count; item++) {
        Document document;
        scored[item] = (uint8_t)parse(items[item], lengths[item], dim, &document);
        if (!scored[item])
            continue;
        for (int64_t token = 0; token < query.padded; token++)
            query.best[token] = -INFINITY;
        scores[item] = document.tokens ? PATHS[path].run(&document, &query, wide) : -INFINITY;
    }
    forget(&query);
    return 0;
}
