/* Normalisation of groups, forward: rows by themselves (layer and RMS normalisation), or groups of channels over the
 * positions of a sample (group and instance normalisation). norm_groups_grad.inc.h has the gradient.
 *
 * x[samples][positions][channels]; a group is channels / groups channels in a row, at all positions of a sample. It has one
 * mean and one rstd = 1 / sqrt(variance + epsilon); with the flag TR_RMS the mean is 0, and is not written. A group that
 * is a row as it lies (one position, one group) is worked from end to end in the first cache. All else is worked by
 * channels, as in batch normalisation, and the moments of channels are joined to those of their group: so there may be at
 * most WIDEST channels then. */

typedef struct group_norm {
    float *y, *mean, *rstd;
    const float *x, *gamma, *beta; /* gamma and beta may be NULL: 1 and 0 */
    int64_t samples, positions, channels, groups;
    double epsilon;
    int rms, relu;
} group_norm;

/* Sums of x - center and of its squares over a row; up to 64 vectors are summed in single precision. */
TR_INLINE void row_moments(double *sum, double *square, const float *x, int64_t n, float center) {
    *sum = *square = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = at_most(n, i + 64 * TR_LANES);
        vec_float a[2] = {{0}}, q[2] = {{0}};
        for (; i + 2 * TR_LANES <= end; i += 2 * TR_LANES)
            TR_UNROLL for (int k = 0; k < 2; k++) {
                vec_float d = vec_load(x + i + k * TR_LANES) - center;
                a[k] += d;
                q[k] += d * d;
            }
        for (; i < end; i += TR_LANES) {
            vec_float d = vec_load_up_to(x + i, n - i, center) - center;
            a[0] += d;
            q[0] += d * d;
        }
        *sum += vec_sum(a[0] + a[1]);
        *square += vec_sum(q[0] + q[1]);
    }
}

/* y = ((x - center) * scale + offset) * gamma + beta. */
TR_INLINE void normalise_row(const int has_gamma, const int has_beta, const group_norm *f, int64_t at, float center,
                             float scale, float offset) {
    const float least = f->relu ? 0 : -INFINITY;
    int64_t n = f->channels;
    for (int64_t i = 0; i < n; i += TR_LANES) {
        vec_float v = (vec_load_up_to(f->x + at + i, n - i, 0) - center) * scale + offset;
        if (has_gamma)
            v *= vec_load_up_to(f->gamma + i, n - i, 0);
        if (has_beta)
            v += vec_load_up_to(f->beta + i, n - i, 0);
        vec_store_up_to(f->y + at + i, vec_greater(vec_splat(least), v), n - i); /* NaN stays */
    }
}

static void normalise_own_rows(const group_norm *f, int64_t begin, int64_t end) {
    int64_t n = f->channels;
    double inverse = 1 / (double)n;
    for (int64_t r = begin; r < end; r++) {
        const float *x = f->x + r * n;
        double sum, square, rest = 0;
        float center = f->rms ? 0 : (float)(sum_of_row(x, n) * inverse);
        row_moments(&sum, &square, x, n, center);
        if (!f->rms) { /* what the float mean lacks to the true one */
            rest = sum * inverse;
            square -= sum * rest;
            f->mean[r] = (float)(center + rest);
        }
        float scale = 1 / sqrtf((float)((square < 0 ? 0 : square) * inverse) + (float)f->epsilon);
        float offset = (float)-rest * scale;
        f->rstd[r] = scale;
        if (f->gamma && f->beta)
            normalise_row(1, 1, f, r * n, center, scale, offset);
        else if (f->gamma)
            normalise_row(1, 0, f, r * n, center, scale, offset);
        else if (f->beta)
            normalise_row(0, 1, f, r * n, center, scale, offset);
        else
            normalise_row(0, 0, f, r * n, center, scale, offset);
    }
}

/* mean[channels], and squares[channels]: sums of squared deviations from it, of each channel of one sample. */
static void moments_of_channels(double *mean, double *squares, const float *x, int64_t positions, int64_t channels) {
    double next[STRIPE], of_next[STRIPE];
    for (int64_t j = 0; j < channels; j += STRIPE) {
        int64_t cols = at_most(STRIPE, channels - j), done = at_most(CHUNK_ROWS, positions);
        STRIPE_CALL(moments_of, cols, mean + j, squares + j, x + j, done, channels, cols)
        for (; done < positions; done += CHUNK_ROWS) {
            int64_t count = at_most(CHUNK_ROWS, positions - done);
            STRIPE_CALL(moments_of, cols, next, of_next, x + done * channels + j, count, channels, cols)
            for (int64_t i = 0; i < cols; i++)
                join_moments(mean + j + i, squares + j + i, (double)done, next[i], of_next[i], (double)count);
        }
    }
}

/* The mean of a group of `width` channels, and its variance, of the channels' moments over so many positions. */
static void join_channels(double *mean, double *variance, const double *means, const double *squares, int64_t width,
                          int64_t positions, int rms) {
    double total = 0, square = 0;
    for (int64_t c = 0; c < width; c++)
        total += means[c];
    *mean = rms ? 0 : total / (double)width;
    for (int64_t c = 0; c < width; c++)
        square += squares[c] + (double)positions * ((means[c] - *mean) * (means[c] - *mean));
    *variance = square / (double)(width * positions);
}

/* The samples [begin, end), by channels. */
static void normalise_samples(const group_norm *f, int64_t begin, int64_t end, void *own) {
    int64_t channels = f->channels, width = channels / f->groups, size = f->positions * channels;
    double *means = own, *squares = means + channels;
    float *center = (float *)(squares + channels), *rest = center + channels, *variance = rest + channels;
    for (int64_t s = begin; s < end; s++) {
        moments_of_channels(means, squares, f->x + s * size, f->positions, channels);
        for (int64_t g = 0; g < f->groups; g++) {
            double mean, var;
            join_channels(&mean, &var, means + g * width, squares + g * width, width, f->positions, f->rms);
            if (!f->rms)
                f->mean[s * f->groups + g] = (float)mean;
            f->rstd[s * f->groups + g] = 1 / sqrtf((float)var + (float)f->epsilon);
            for (int64_t c = g * width; c < (g + 1) * width; c++) {
                center[c] = (float)mean;
                rest[c] = (float)(mean - center[c]);
                variance[c] = (float)var;
            }
        }
        norm_columns n = {center, variance, f->gamma, f->beta, rest};
        normalise_rows(f->y + s * size, f->x + s * size, n, 0, f->positions, channels, channels, f->epsilon, f->relu);
    }
}

/* Whether groups are rows as they lie. */
TR_INLINE int groups_are_rows(int64_t positions, int64_t groups) { return positions == 1 && groups == 1; }

/* y, mean[samples][groups], rstd[samples][groups] = groupnorm(x, gamma | NULL, beta | NULL). */
static int TR_K(groupnorm)(const tr_call *c, const tr_worker *w) {
    group_norm f = {
        .y = c->ptr[0],
        .mean = c->ptr[1],
        .rstd = c->ptr[2],
        .x = c->ptr[3],
        .gamma = c->ptr[4],
        .beta = c->ptr[5],
        .samples = c->arg[0],
        .positions = c->arg[1],
        .channels = c->arg[2],
        .groups = c->arg[3],
        .epsilon = c->scalar[0],
        .rms = c->flags & TR_RMS,
        .relu = c->flags & TR_RELU,
    };
    int64_t begin, end;
    tr_split(w, f.positions && f.channels ? f.samples : 0, 1, &begin, &end);
    if (groups_are_rows(f.positions, f.groups))
        normalise_own_rows(&f, begin, end);
    else
        normalise_samples(&f, begin, end, w->own);
    return 0;
}
