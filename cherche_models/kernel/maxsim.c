/* MaxSim of a query with stored codes, int8 or residual, straight from their bytes.
 *
 * Query and document tokens become integers of at most 16 bits, whose similarities find the best document token of each
 * query token: products and sums are exact, so that all paths choose the same. The similarity with that one is then taken
 * from the query's next 15 bits too (int8), or from the decoded vector in float64 (residual). So a score is that of the
 * float32 query, unless two document tokens are as near to each other as half a step: 1 / 65534 of a query token's largest
 * component (int8) or of its length (residual). No sum depends on the path: all give the same bits.
 *
 * C11 for GCC and Clang; library.py loads it. It knows nothing of Python, and writes to its outputs alone.
 */
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
    WIDEST = 512, /* 32767 * 128 * 512 < 2^31: no sum of products leaves 32 bits */
    ROWS = 8,     /* document tokens that share one read of the query */
    LAST = 4,     /* the same for the last ones of a document */
    ALIGNED = 64,
};

/* What residual codes are decoded with; `bits` of 0 stands for int8, which needs nothing. Also in library.py. */
typedef struct {
    const float *centroids; /* (count, dim) */
    const float *levels;    /* (1 << bits,) */
    int64_t count;
    int32_t codec; /* its number in the header of codes */
    int32_t bits;
    uint8_t digest[8];
} Book;

/* A document's codes, whose size is what their header says. */
typedef struct {
    const uint8_t *heads; /* a float16 scale of each token, or its u16 centroid */
    const uint8_t *tails; /* of each token dim int8; or a length and dim values of some bits */
    int64_t tokens;
} Document;

typedef struct {
    int64_t tokens;
    int64_t dim;
    int64_t padded;  /* tokens up to a multiple of a path's lanes; those added are zeros */
    int64_t width;   /* dim up to a multiple of 32; the components added are zeros */
    const float *vectors;
    const Book *book;
    float *table;    /* (256, 8 / bits): the values of each byte of a residual */
    float *rows;     /* (room, width): a document's tokens, decoded from residual codes */
    int64_t room;
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

/* Bytes of one document token behind the heads. */
static int64_t tail(const Book *book, int64_t dim) { return book->bits ? 1 + (dim * book->bits + 7) / 8 : dim; }

/* Takes codes apart as cherche_models.codes.frame does. 0 for whatever that refuses, and for another codec, width or book. */
static int parse(const uint8_t *data, int64_t length, int64_t dim, const Book *book, Document *found) {
    enum { HEADER = 10, PLAIN = 1, CHUNKED = 2 };
    if (!data || length < HEADER || data[0] != 'C' || data[1] != 'C' || data[3] != book->codec || u16(data + 4) != dim)
        return 0;
    int64_t tokens = u32(data + 6), end = length, named = book->bits ? sizeof book->digest : 0;
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
    if (tokens > INT32_MAX || end != HEADER + named + tokens * (2 + tail(book, dim)))
        return 0;
    const uint8_t *heads = data + HEADER + named;
    int64_t worst = -1;
    for (int64_t i = 0; i < tokens; i++) {
        int64_t head = u16(heads + 2 * i);
        worst = head > worst ? head : worst;
    }
    /* A scale that is negative, infinite or NaN; a centroid beyond the last. */
    if (worst >= (book->bits ? book->count : 0x7c00) || memcmp(data + HEADER, book->digest, named))
        return 0;
    *found = (Document){heads, heads + 2 * tokens, tokens};
    return 1;
}

/* float16, positive and finite, as float32. */
INLINE float scale(const uint8_t *at) {
    uint32_t half = u16(at), bits = (half << 13) + (112u << 23);
    float normal, subnormal = (float)(int32_t)half * 0x1p-24f;
    memcpy(&normal, &bits, sizeof normal);
    return half < 0x400 ? subnormal : normal;
}

/* One token of int8 codes as int16. */
INLINE void widen(const Document *document, int64_t token, const Query *query, int16_t *wide) {
    const int8_t *values = (const int8_t *)document->tails + token * query->dim;
    for (int64_t i = 0; i < query->dim; i++)
        wide[i] = values[i];
}

INLINE void look_up(const uint8_t *bytes, int64_t count, const float *table, const int each, float *row) {
    for (int64_t i = 0; i < count; i++)
        memcpy(row + each * i, table + each * bytes[i], (size_t)each * sizeof *row);
}

/* One token of residual codes as a vector of length 1, and as int16: as cherche_models.codes.codecs.residual, but for the
 * order in which squares are summed. The last byte may have values beyond dim, never beyond width: there zeros follow. */
INLINE void decode(const Document *document, int64_t token, const Query *query, float *row, int16_t *wide) {
    const Book *book = query->book;
    const int64_t dim = query->dim, width = query->width, size = tail(book, dim);
    const uint8_t *tail = document->tails + token * size;
    const float *centroid = book->centroids + u16(document->heads + 2 * token) * dim;
    if (book->bits == 1)
        look_up(tail + 1, size - 1, query->table, 8, row);
    else if (book->bits == 2)
        look_up(tail + 1, size - 1, query->table, 4, row);
    else
        look_up(tail + 1, size - 1, query->table, 2, row);
    const float length = (float)tail[0] * (float)(1 / (128 * sqrt((double)dim)));
    for (int64_t i = 0; i < dim; i++)
        row[i] = row[i] * length + centroid[i];
    for (int64_t i = dim; i < width; i++)
        row[i] = 0;
    float squares[16] = {0}, sum = 0;
    for (int64_t i = 0; i < width; i += 16)
        for (int j = 0; j < 16; j++)
            squares[j] += row[i + j] * row[i + j];
    for (int j = 0; j < 16; j++)
        sum += squares[j];
    const float norm = sqrtf(sum), unit = 1 / (norm > 1e-12f ? norm : 1e-12f);
    for (int64_t i = 0; i < width; i++) {
        row[i] *= unit;
        float steps = row[i] * 32767 + 0x1.8p23f; /* rounds to an integer, which then lies in the lowest bits */
        int32_t bits;
        memcpy(&bits, &steps, sizeof bits);
        wide[i] = (int16_t)bits;
    }
}

/* Some tokens as int16, and their scales. Beyond the document's end its last token is repeated: seen twice, it wins no more
 * than once. */
INLINE void take(const Document *document, int64_t first, const int rows, const Query *query, int16_t *wide, float *scales) {
    for (int row = 0; row < rows; row++) {
        int64_t token = first + row < document->tokens ? first + row : document->tokens - 1;
        if (query->book->bits) {
            decode(document, token, query, query->rows + token * query->width, wide + row * query->width);
            scales[row] = 1;
        } else {
            widen(document, token, query, wide + row * query->width);
            scales[row] = scale(document->heads + 2 * token);
        }
    }
}

/* In all 31 bits of the query. */
INLINE double of_int8(const Document *document, const Query *query, int64_t token, int16_t *wide) {
    const int16_t *high = query->high + token * query->width, *low = query->low + token * query->width;
    int32_t highs = 0, lows = 0;
    widen(document, query->places[token], query, wide);
    for (int64_t i = 0; i < query->width; i++)
        highs += (int32_t)high[i] * wide[i];
    for (int64_t i = 0; i < query->width; i++)
        lows += (int32_t)low[i] * wide[i];
    double steps = (double)highs + (double)lows / 32768;
    return steps * scale(document->heads + 2 * query->places[token]) * query->sizes[token];
}

INLINE double of_residual(const Query *query, int64_t token) {
    const float *row = query->rows + query->places[token] * query->width, *vector = query->vectors + token * query->dim;
    double parts[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= query->dim; i += 8)
        for (int j = 0; j < 8; j++)
            parts[j] += (double)vector[i + j] * row[i + j];
    for (; i < query->dim; i++)
        sum += (double)vector[i] * row[i];
    for (int j = 0; j < 8; j++)
        sum += parts[j];
    return sum;
}

/* The similarities of each query token with its best document token, summed first to last. */
INLINE float total(const Document *document, const Query *query, int16_t *wide) {
    double sum = 0;
    for (int64_t token = 0; token < query->tokens; token++)
        sum += query->book->bits ? of_residual(query, token) : of_int8(document, query, token, wide);
    return (float)sum;
}

/* MaxSim with a document of at least one token. Fills `best` and `places`, in which the first of equal document tokens
 * wins; `wide` has room for ROWS tokens, and zeros where it is padded. */
typedef float (*Path)(const Document *document, Query *query, int16_t *wide);

/* With what vector instructions the compiler finds a use for, of those that any processor of the platform has. */
static float plain(const Document *document, Query *query, int16_t *wide) {
    for (int64_t first = 0; first < document->tokens; first++) {
        float factor;
        take(document, first, 1, query, wide, &factor);
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
#elif defined(__aarch64__)
/* Two components of eight query tokens, whose products with those of a document token are added up. */
#define PAIR(pair)                                                                                          \
    do {                                                                                                    \
        int16x8x2_t left = vld2q_s16(lanes + (pair) * 2 * query->padded);                                   \
        _Pragma("GCC unroll 8") for (int row = 0; row < rows; row++) {                                      \
            int32x4_t low = sums[row][0], high = sums[row][1];                                              \
            low = vmlal_laneq_s16(low, vget_low_s16(left.val[0]), right[row], 2 * (pair));                  \
            high = vmlal_high_laneq_s16(high, left.val[0], right[row], 2 * (pair));                         \
            sums[row][0] = vmlal_laneq_s16(low, vget_low_s16(left.val[1]), right[row], 2 * (pair) + 1);     \
            sums[row][1] = vmlal_high_laneq_s16(high, left.val[1], right[row], 2 * (pair) + 1);             \
        }                                                                                                   \
    } while (0)

/* Similarities of some document tokens with eight query tokens, from token `at` on. */
INLINE void compare_neon(Query *query, const int16_t *wide, const float *scales, int64_t first, int64_t at, const int rows) {
    int32x4_t sums[ROWS][2];
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = vdupq_n_s32(0);
    const int16_t *lanes = query->lanes + 2 * at;
    for (int64_t i = 0; i < query->width; i += 8, lanes += 8 * query->padded) {
        int16x8_t right[ROWS];
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++)
            right[row] = vld1q_s16(wide + row * query->width + i);
        PAIR(0);
        PAIR(1);
        PAIR(2);
        PAIR(3);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        float *best = query->best + at + 4 * half;
        int32_t *places = query->places + at + 4 * half;
        float32x4_t most = vld1q_f32(best);
        int32x4_t place = vld1q_s32(places);
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            float32x4_t similarity = vmulq_n_f32(vcvtq_f32_s32(sums[row][half]), scales[row]);
            uint32x4_t more = vcgtq_f32(similarity, most);
            most = vbslq_f32(more, similarity, most);
            place = vbslq_s32(more, vdupq_n_s32((int32_t)first + row), place);
        }
        vst1q_f32(best, most);
        vst1q_s32(places, place);
    }
}

INLINE void rows_neon(const Document *document, Query *query, int16_t *wide, int64_t first, const int rows) {
    float scales[ROWS];
    take(document, first, rows, query, wide, scales);
    for (int64_t at = 0; at < query->padded; at += 8)
        compare_neon(query, wide, scales, first, at, rows);
}

static float neon(const Document *document, Query *query, int16_t *wide) {
    int64_t first = 0;
    for (; first + LAST < document->tokens; first += ROWS)
        rows_neon(document, query, wide, first, ROWS);
    if (first < document->tokens)
        rows_neon(document, query, wide, first, LAST);
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
#elif defined(__aarch64__)
    {"neon", neon, 8},
#endif
};

static void *room(int64_t bytes) {
    void *found = aligned_alloc(ALIGNED, (size_t)(bytes + ALIGNED - 1) / ALIGNED * ALIGNED);
    if (found)
        memset(found, 0, (size_t)bytes);
    return found;
}

static void forget(Query *query) {
    free(query->table);
    free(query->rows);
    free(query->high);
    free(query->low);
    free(query->sizes);
    free(query->lanes);
    free(query->best);
    free(query->places);
}

/* 0 where a component is infinite or NaN. */
static int read_query(Query *query) {
    for (int64_t token = 0; token < query->tokens; token++) {
        const float *row = query->vectors + token * query->dim;
        double peak = 0, squares = 0;
        for (int64_t i = 0; i < query->dim; i++) {
            if (!isfinite(row[i]))
                return 0;
            peak = fmax(peak, fabs((double)row[i]));
            squares += (double)row[i] * row[i];
        }
        /* Residual codes have 16 bits as well, and length 1: with a query token of length 1 no sum leaves 32 bits. */
        query->sizes[token] = (query->book->bits ? sqrt(squares) : peak) / 32767;
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

static void fill_table(const Book *book, float *table) {
    const int each = 8 / book->bits, mask = (1 << book->bits) - 1;
    for (int byte = 0; byte < 256; byte++)
        for (int i = 0; i < each; i++)
            table[byte * each + i] = book->levels[byte >> (book->bits * i) & mask];
}

/* Room for a document's decoded tokens; 0 where there is none. */
static int make_room(const Document *document, Query *query) {
    if (!query->book->bits || document->tokens <= query->room)
        return 1;
    free(query->rows);
    query->room = document->tokens;
    query->rows = room(query->room * query->width * (int64_t)sizeof *query->rows);
    if (!query->rows)
        query->room = 0;
    return query->rows != NULL;
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
    int has256 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if ((path == 1 && !has256) || (path == 2 && !(has512 && has256)))
        return NULL;
#endif
    return PATHS[path].name;
}

/* Scores the items that are codes of the book's codec and the query's width, and says which in `scored`; the others keep
 * their score, and what was said of them.
 *
 * vectors: (tokens, dim) float32. items, lengths: (count,) bytes of each document; null for none.
 * scores: (count,) float32, -infinity for a document without tokens. scored: (count,) of 0 or 1.
 * Returns 0, or -1, with nothing scored, where an argument is out of range, the processor lacks the path, the query is not
 * finite, or there is no memory.
 */
EXPORT int32_t cherche_maxsim(int32_t path, const float *vectors, int64_t tokens, int64_t dim, const Book *book,
                              const uint8_t *const *items, const int64_t *lengths, int64_t count, float *scores,
                              uint8_t *scored) {
    if (!cherche_path(path) || dim < 1 || dim > WIDEST || tokens < 1 || tokens > 1 << 20 || count < 0)
        return -1;
    int32_t bits = book->bits;
    if (bits && ((bits != 1 && bits != 2 && bits != 4) || book->count < 1 || !book->centroids || !book->levels))
        return -1;
    int64_t lanes = PATHS[path].lanes;
    Query query = {.tokens = tokens, .dim = dim, .vectors = vectors, .book = book};
    query.padded = (tokens + lanes - 1) / lanes * lanes;
    query.width = (dim + 31) / 32 * 32;
    query.table = room(256 * 8 * sizeof *query.table);
    query.high = room(tokens * query.width * 2);
    query.low = room(tokens * query.width * 2);
    query.lanes = room(query.padded * query.width * 2);
    query.sizes = room(tokens * 8);
    query.best = room(query.padded * 4);
    query.places = room(query.padded * 4);
    int complete = query.table && query.high && query.low && query.lanes && query.sizes && query.best && query.places;
    if (!complete || !read_query(&query)) {
        forget(&query);
        return -1;
    }
    if (bits)
        fill_table(book, query.table);
    int16_t wide[ROWS * WIDEST] __attribute__((aligned(ALIGNED)));
    memset(wide, 0, sizeof wide);
    for (int64_t item = 0; item < count; item++) {
        Document document;
        if (!parse(items[item], lengths[item], dim, book, &document) || !make_room(&document, &query))
            continue;
        for (int64_t token = 0; token < query.padded; token++)
            query.best[token] = -INFINITY;
        scores[item] = document.tokens ? PATHS[path].run(&document, &query, wide) : -INFINITY;
        scored[item] = 1;
    }
    forget(&query);
    return 0;
}
