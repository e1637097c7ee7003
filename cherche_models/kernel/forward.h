/* The forward pass of a BERT encoder, for one set of instructions: encoder.c includes this once for each, with
 *
 *   IN(name)    the name of that set's own function or type
 *   TARGET      the attribute that lets the compiler use the instructions
 *   LANES       floats of a vector register
 *   ROWS        tokens that share one read of the weights: as many as leave the sums in registers
 *   TOTALS      function from four vectors to their four sums
 *   SCREEN      function as `screen_plain`
 *
 * Matrices are read where torch has them, row by row, float32 or bfloat16: nothing is copied or packed.
 */
typedef float IN(vec) __attribute__((vector_size(4 * LANES)));
typedef int32_t IN(ints) __attribute__((vector_size(4 * LANES)));
typedef uint32_t IN(bits) __attribute__((vector_size(4 * LANES)));
typedef float IN(loose) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t IN(halves) __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
#define vec IN(vec)
#define ints IN(ints)

/* A bfloat16 is the upper half of a float32. */
INLINE TARGET vec IN(load)(const void *from, int64_t at, const int half) {
    if (half)
        return (vec)(__builtin_convertvector(*(const IN(halves) *)((const uint16_t *)from + at), IN(bits)) << 16);
    return *(const IN(loose) *)((const float *)from + at);
}

INLINE TARGET void IN(store)(float *to, vec values) { *(IN(loose) *)to = values; }

INLINE TARGET vec IN(where)(ints mask, vec then, vec otherwise) {
    return (vec)((mask & (ints)then) | (~mask & (ints)otherwise));
}

INLINE TARGET float IN(sum)(vec values) {
    vec zero = {0};
    return TOTALS(values, zero, zero, zero)[0];
}

/* 2^n e^r, |r| < .35: Taylor's series leaves off 6e-9 of e^r. Adding 1.5 * 2^23 rounds to an integer. */
INLINE TARGET vec IN(exponential)(vec x) {
    const vec zero = {0}, least = zero - 87.0f, most = zero + 88.0f;
    x = IN(where)(x < least, least, x);
    x = IN(where)(x > most, most, x);
    vec shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec e = zero + 1.0f / 5040;
    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    ints power = ((ints)shifted - 0x4b400000 + 127) << 23;
    return e * (vec)power;
}

/* x Phi(x) with erf by Abramowitz and Stegun 7.1.26, whose error is at most 1.5e-7. */
INLINE TARGET vec IN(gelu)(vec x) {
    const vec zero = {0};
    const ints sign = (ints)zero + INT32_MIN;
    vec z = (vec)((ints)x & ~sign) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    vec p = zero + 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vec erf = 1.0f - p * t * IN(exponential)(-(z * z));
    return 0.5f * x * (1.0f + (vec)((ints)erf | ((ints)x & sign)));
}

static TARGET void IN(activate)(float *values, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES)
        IN(store)(values + i, IN(gelu)(IN(load)(values, i, 0)));
}

/* Products of `count` rows with four rows of weights. */
INLINE TARGET void IN(tile)(const float *rows, const int count, const void *const *weights, int64_t width, const int half,
                            Quad *products) {
    vec sums[ROWS][4];
#pragma GCC unroll 8
    for (int row = 0; row < count; row++)
#pragma GCC unroll 4
        for (int column = 0; column < 4; column++)
            sums[row][column] = (vec){0};
    for (int64_t i = 0; i < width; i += LANES) {
        vec values[ROWS];
#pragma GCC unroll 8
        for (int row = 0; row < count; row++)
            values[row] = IN(load)(rows, row * width + i, 0);
#pragma GCC unroll 4
        for (int column = 0; column < 4; column++) {
            vec weight = IN(load)(weights[column], i, half);
#pragma GCC unroll 8
            for (int row = 0; row < count; row++)
                sums[row][column] += values[row] * weight;
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < count; row++)
        products[row] = TOTALS(sums[row][0], sums[row][1], sums[row][2], sums[row][3]);
}

/* Products of any rows with four rows of weights, in blocks of nearly equal height. */
INLINE TARGET void IN(tiles)(const float *rows, int64_t count, const void *const *weights, int64_t width, const int half,
                             Quad *products) {
    for (int64_t blocks = (count + ROWS - 1) / ROWS; count; blocks--) {
        int64_t height = (count + blocks - 1) / blocks;
        switch (height) {
        case 1: IN(tile)(rows, 1, weights, width, half, products); break;
        case 2: IN(tile)(rows, 2, weights, width, half, products); break;
#if ROWS > 2
        case 3: IN(tile)(rows, 3, weights, width, half, products); break;
#endif
#if ROWS > 3
        case 4: IN(tile)(rows, 4, weights, width, half, products); break;
        case 5: IN(tile)(rows, 5, weights, width, half, products); break;
        case 6: IN(tile)(rows, 6, weights, width, half, products); break;
#endif
        }
        rows += height * width;
        products += height;
        count -= height;
    }
}

static TARGET void IN(products)(const float *rows, int64_t count, const void *const *weights, int64_t width, int half,
                                Quad *products) {
    if (half)
        IN(tiles)(rows, count, weights, width, 1, products);
    else
        IN(tiles)(rows, count, weights, width, 0, products);
}

/* rows W^T + b: (tokens, inputs) to (tokens, outputs). */
static TARGET void IN(linear)(const float *rows, int64_t tokens, const void *const *part, int64_t inputs, int64_t outputs,
                              const Work *work, float *out) {
    const int half = work->half;
    for (int64_t at = 0; at < outputs; at += 4) {
        const void *weights[4];
        for (int64_t i = 0; i < 4; i++)
            weights[i] = (const char *)part[0] + (at + i) * inputs * (half ? 2 : 4);
        IN(products)(rows, tokens, weights, inputs, half, work->products);
        Quad bias = {number(part[1], at, half), number(part[1], at + 1, half), number(part[1], at + 2, half),
                     number(part[1], at + 3, half)};
        for (int64_t token = 0; token < tokens; token++) {
            Quad sums = work->products[token] + bias;
            memcpy(out + token * outputs + at, &sums, sizeof sums);
        }
    }
}

/* Each row to mean 0 and variance 1, then scaled and shifted, in place. */
static TARGET void IN(normalise)(float *rows, int64_t tokens, const void *const *part, int64_t width, float epsilon,
                                 int half) {
    for (float *row = rows; row < rows + tokens * width; row += width) {
        vec sums = {0}, squares = {0};
        for (int64_t i = 0; i < width; i += LANES)
            sums += IN(load)(row, i, 0);
        float mean = IN(sum)(sums) / (float)width;
        for (int64_t i = 0; i < width; i += LANES) {
            vec off = IN(load)(row, i, 0) - mean;
            squares += off * off;
        }
        float scale = 1.0f / sqrtf(IN(sum)(squares) / (float)width + epsilon);
        for (int64_t i = 0; i < width; i += LANES)
            IN(store)(row + i, (IN(load)(row, i, 0) - mean) * scale * IN(load)(part[0], i, half) + IN(load)(part[1], i, half));
    }
}

/* The softmax of a row of scores, whose padding up to whole vectors gets 0. */
INLINE TARGET void IN(softmax)(float *scores, int64_t length) {
    float most = scores[0], total = 0;
    for (int64_t i = 1; i < length; i++)
        most = scores[i] > most ? scores[i] : most;
    for (int64_t i = 0; i < length; i += LANES)
        IN(store)(scores + i, IN(exponential)(IN(load)(scores, i, 0) - most));
    for (int64_t i = 0; i < length; i++)
        total += scores[i];
    for (int64_t i = 0; i < length; i++)
        scores[i] /= total;
}

/* One head of one text: its rows of queries, keys and values lie `stride` apart. */
static TARGET void IN(attend)(const Work *work, int64_t at, int64_t length, int64_t stride, int64_t size) {
    const float *queries = work->queries + at, *keys = work->keys + at, *values = work->values + at;
    float *scores = work->scores, *turned = work->turned, factor = 1.0f / sqrtf((float)size);
    int64_t padded = (length + LANES - 1) / LANES * LANES;
    for (int64_t i = 0; i < size; i++)
        for (int64_t key = 0; key < padded; key++)
            turned[i * padded + key] = key < length ? keys[key * stride + i] : 0;
    for (int64_t token = 0; token < length; token++) {
        const float *query = queries + token * stride;
        float *context = work->context + at + token * stride;
        for (int64_t key = 0; key < padded; key += LANES) {
            vec sums = {0};
            for (int64_t i = 0; i < size; i++)
                sums += query[i] * IN(load)(turned, i * padded + key, 0);
            IN(store)(scores + key, sums * factor);
        }
        IN(softmax)(scores, length);
        int64_t i = 0;
        for (; i + LANES <= size; i += LANES) {
            vec sums = {0};
            for (int64_t key = 0; key < length; key++)
                sums += scores[key] * IN(load)(values, key * stride + i, 0);
            IN(store)(context + i, sums);
        }
        for (; i < size; i++) {
            context[i] = 0;
            for (int64_t key = 0; key < length; key++)
                context[i] += scores[key] * values[key * stride + i];
        }
    }
}

static TARGET void IN(add)(float *to, const float *from, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES)
        IN(store)(to + i, IN(load)(to, i, 0) + IN(load)(from, i, 0));
}

/* One layer, whose 16 parts are in the order of `Encoder`. */
static TARGET void IN(layer)(const Encoder *encoder, const void *const *part, const Work *work, float *hidden) {
    const int64_t tokens = work->tokens, width = encoder->hidden, size = width / encoder->heads;
    IN(linear)(hidden, tokens, part, width, width, work, work->queries);
    IN(linear)(hidden, tokens, part + 2, width, width, work, work->keys);
    IN(linear)(hidden, tokens, part + 4, width, width, work, work->values);
    for (int64_t text = 0, first = 0; text < work->texts; first += work->lengths[text++])
        for (int64_t head = 0; head < encoder->heads; head++)
            IN(attend)(work, first * width + head * size, work->lengths[text], width, size);
    IN(linear)(work->context, tokens, part + 6, width, width, work, work->queries);
    IN(add)(hidden, work->queries, tokens * width);
    IN(normalise)(hidden, tokens, part + 8, width, encoder->epsilon, work->half);
    IN(linear)(hidden, tokens, part + 10, width, encoder->inner, work, work->inner);
    IN(activate)(work->inner, tokens * encoder->inner);
    IN(linear)(work->inner, tokens, part + 12, encoder->inner, width, work, work->queries);
    IN(add)(hidden, work->queries, tokens * width);
    IN(normalise)(hidden, tokens, part + 14, width, encoder->epsilon, work->half);
}

static TARGET void IN(hidden_states)(const Encoder *encoder, const int64_t *ids, const Work *work, float *hidden) {
    const void *const *part = encoder->parts;
    const int64_t width = encoder->hidden, half = work->half;
    float *row = hidden;
    for (int64_t text = 0; text < work->texts; text++)
        for (int64_t place = 0; place < work->lengths[text]; place++, row += width, ids++)
            for (int64_t i = 0; i < width; i += LANES)
                IN(store)(row + i, IN(load)(part[0], *ids * width + i, half) + IN(load)(part[2], i, half) +
                                       IN(load)(part[1], place * width + i, half));
    IN(normalise)(hidden, work->tokens, part + 3, width, encoder->epsilon, work->half);
    for (int64_t i = 0; i < encoder->layers; i++)
        IN(layer)(encoder, part + 5 + 16 * i, work, hidden);
}

/* The masked-LM head before its decoder: the 4 parts behind those of the layers. */
static TARGET void IN(transformed)(const Encoder *encoder, const float *hidden, const Work *work, float *out) {
    const void *const *part = encoder->parts + 5 + 16 * encoder->layers;
    IN(linear)(hidden, work->tokens, part, encoder->hidden, encoder->hidden, work, out);
    IN(activate)(out, work->tokens * encoder->hidden);
    IN(normalise)(out, work->tokens, part + 2, encoder->hidden, encoder->epsilon, work->half);
}

/* The positive ones among the largest logits of some terms, at most four; returns how many. */
static TARGET int64_t IN(exact)(const Decoder *decoder, const float *rows, int64_t tokens, const int32_t *terms,
                                int64_t count, Quad *products, int32_t *found, float *logits) {
    const void *weights[4];
    for (int64_t i = 0; i < 4; i++)
        weights[i] = (const char *)decoder->weight + terms[i < count ? i : 0] * decoder->width * (decoder->half ? 2 : 4);
    IN(products)(rows, tokens, weights, decoder->width, decoder->half, products);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        float most = products[0][i];
        for (int64_t token = 1; token < tokens; token++)
            most = products[token][i] > most ? products[token][i] : most;
        if (decoder->bias)
            most += number(decoder->bias, terms[i], decoder->half);
        if (most < FLT_MIN)
            continue; /* NaN is kept: it is for the caller to report */
        found[kept] = terms[i];
        logits[kept++] = most;
    }
    return kept;
}

/* Terms with a positive largest logit of one text, ascending, and those logits; returns how many. */
static TARGET int64_t IN(positive)(const Decoder *decoder, const float *rows, int64_t tokens, const Grid *grid,
                                   Quad *products, int32_t *found, float *logits) {
    int64_t count = 0, kept = 0;
    for (int64_t first = 0; first < decoder->terms; first += PANEL) {
        int32_t best[PANEL];
        SCREEN(decoder->grid + first * grid->width, grid, best);
        int64_t last = decoder->terms - first < PANEL ? decoder->terms - first : PANEL;
        const float *table = decoder->table + first;
        for (int64_t i = 0; i < last; i++) {
            float bound = grid->factors[0] * table[i] + grid->factors[1] * table[decoder->terms + i] +
                          grid->factors[2] * table[2 * decoder->terms + i];
            found[count] = (int32_t)(first + i);
            count += (float)best[i] > bound;
        }
    }
    /* Never ahead of what is read: each four become at most four. */
    for (int64_t at = 0; at < count; at += 4) {
        int32_t terms[4];
        int64_t some = count - at < 4 ? count - at : 4;
        memcpy(terms, found + at, (size_t)some * sizeof *terms);
        kept += IN(exact)(decoder, rows, tokens, terms, some, products, found + kept, logits + kept);
    }
    return kept;
}

#undef vec
#undef ints
