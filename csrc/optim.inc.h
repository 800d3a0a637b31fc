/* Optimizer kernels. hyper is float64[8], or [10] where gradients are added up over EVERY steps, of which this is number
 * COUNT: */
enum { LR, MOMENTUM, BETA1 = MOMENTUM, BETA2, EPSILON, WEIGHT_DECAY, GRADIENT_SCALE, STEP, CLIP_NORM, COUNT, EVERY };

/* Whether this is a step that moves parameters. */
TR_INLINE int step_is_due(const tr_call *c, const double *hyper) {
    return !(c->flags & TR_DUE) || hyper[COUNT] == hyper[EVERY];
}

static int TR_K(optimizer_tick)(const tr_call *c, const tr_worker *w) {
    double *hyper = c->ptr[0];
    if (w->ith)
        return 0;
    if (c->flags & TR_DUE)
        hyper[COUNT] = hyper[COUNT] == hyper[EVERY] ? 1 : hyper[COUNT] + 1;
    if (step_is_due(c, hyper))
        hyper[STEP] += 1;
    return 0;
}

/* total += g / EVERY. */
static int TR_K(accumulate)(const tr_call *c, const tr_worker *w) {
    float *total = c->ptr[0], part = (float)(1 / ((const double *)c->ptr[2])[EVERY]);
    const float *g = c->ptr[1];
    tr_runs runs = tr_split_runs(c, w, c->arg[0], 64);
    for (int64_t run = 0, begin = runs.begin; run < runs.count; run++, begin += runs.step)
        for (int64_t i = 0; i < runs.length; i += TR_LANES) {
            vec_float v = vec_load_up_to(total + begin + i, runs.length - i, 0);
            v += vec_load_up_to(g + begin + i, runs.length - i, 0) * part;
            vec_store_up_to(total + begin + i, v, runs.length - i);
        }
    return 0;
}

/* total = 0 behind a step that has moved parameters. */
static int TR_K(clear_when_due)(const tr_call *c, const tr_worker *w) {
    float *total = c->ptr[0];
    const double *hyper = c->ptr[1];
    tr_runs runs = tr_split_runs(c, w, c->arg[0], 64);
    for (int64_t run = 0, begin = runs.begin; hyper[COUNT] == hyper[EVERY] && run < runs.count; run++, begin += runs.step)
        memset(total + begin, 0, (size_t)runs.length * sizeof(float));
    return 0;
}

/* A norm of NaN or inf gives a scale of NaN or 0: the parameters show it, rather than train on. */
static int TR_K(clip_scale)(const tr_call *c, const tr_worker *w) {
    double *hyper = c->ptr[0], norm = sqrt(*(const double *)c->ptr[1]);
    if (w->ith == 0)
        hyper[GRADIENT_SCALE] = norm <= hyper[CLIP_NORM] ? 1.0 : hyper[CLIP_NORM] / norm;
    return 0;
}

/* Coefficients of one update, the same for all elements. */
typedef struct update {
    /* rest = 1 - beta */
    vec_float lr, momentum, decay, scale, beta1, rest1, beta2, rest2, epsilon, correction;
} update;

/* One vector of the parameter and up to two of its state. */
typedef void update_function(vec_float *p, vec_float *first, vec_float *second, vec_float g, const update *u);

/* Runs f over the parameter and its state, so many `arrays`. A tail (of one run; by columns there is none)
 * goes round the same loop, padded. */
TR_INLINE void update_all(int arrays, float *p, float *first, float *second, const float *g, tr_runs runs,
                          const update *u, update_function *f) {
    float pad[4][TR_LANES];
    int64_t tail = runs.length % TR_LANES, whole = runs.length - tail, at = runs.begin + whole;
    float *array[3] = {p, first, second};
    for (int padded = 0;; padded = 1) {
        for (int64_t run = 0, begin = runs.begin; run < runs.count; run++, begin += runs.step)
            for (int64_t i = begin; i < begin + whole; i += TR_LANES) {
                vec_float v[3] = {{0}};
                for (int k = 0; k < arrays; k++)
                    v[k] = vec_load(array[k] + i);
                f(&v[0], &v[1], &v[2], vec_load(g + i), u);
                for (int k = 0; k < arrays; k++)
                    vec_store(array[k] + i, v[k]);
            }
        if (!tail || padded)
            break;
        for (int k = 0; k < arrays; k++) {
            vec_store(pad[k], vec_load_part(array[k] + at, tail, 0));
            array[k] = pad[k];
        }
        vec_store(pad[3], vec_load_part(g + at, tail, 0));
        g = pad[3];
        runs.begin = 0, whole = TR_LANES;
    }
    if (tail) {
        memcpy(p + at, pad[0], (size_t)tail * sizeof(float));
        if (arrays > 1)
            memcpy(first + at, pad[1], (size_t)tail * sizeof(float));
        if (arrays > 2)
            memcpy(second + at, pad[2], (size_t)tail * sizeof(float));
    }
}

TR_INLINE void sgd_step(vec_float *p, vec_float *v, vec_float *unused, vec_float g, const update *u) {
    (void)v, (void)unused;
    *p -= u->lr * (g * u->scale + u->decay * *p);
}

TR_INLINE void momentum_step(vec_float *p, vec_float *v, vec_float *unused, vec_float g, const update *u) {
    (void)unused;
    *v = u->momentum * *v + (g * u->scale + u->decay * *p);
    *p -= u->lr * *v;
}

TR_INLINE void nesterov_step(vec_float *p, vec_float *v, vec_float *unused, vec_float g, const update *u) {
    (void)unused;
    g = g * u->scale + u->decay * *p;
    *v = u->momentum * *v + g;
    *p -= u->lr * (g + u->momentum * *v);
}

/* Stochastic gradient descent, with momentum where there is a velocity; flag bit 0: Nesterov's. */
static int TR_K(sgd)(const tr_call *c, const tr_worker *w) {
    float *p = c->ptr[0], *velocity = c->ptr[1];
    const float *g = c->ptr[2];
    const double *hyper = c->ptr[3];
    update u = {.lr = vec_splat((float)hyper[LR]),
                .momentum = vec_splat((float)hyper[MOMENTUM]),
                .decay = vec_splat(c->flags & TR_UNDECAYED ? 0 : (float)hyper[WEIGHT_DECAY]),
                .scale = vec_splat((float)hyper[GRADIENT_SCALE])};
    if (!step_is_due(c, hyper))
        return 0;
    tr_runs runs = tr_split_runs(c, w, c->arg[0], 64);
    if (!velocity)
        update_all(1, p, 0, 0, g, runs, &u, sgd_step);
    else if (c->flags & 1)
        update_all(2, p, velocity, 0, g, runs, &u, nesterov_step);
    else
        update_all(2, p, velocity, 0, g, runs, &u, momentum_step);
    return 0;
}

TR_INLINE void adam_move(vec_float *p, vec_float *m, vec_float *v, vec_float g, const update *u) {
    *m = u->beta1 * *m + u->rest1 * g;
    *v = u->beta2 * *v + u->rest2 * (g * g);
    *p -= u->lr * (*m / (vec_sqrt(*v) * u->correction + u->epsilon));
}

TR_INLINE void adam_step(vec_float *p, vec_float *m, vec_float *v, vec_float g, const update *u) {
    adam_move(p, m, v, g * u->scale + u->decay * *p, u);
}

/* AdamW (Loshchilov and Hutter, 2019): the decay acts on the parameter and not on the gradient. */
TR_INLINE void adamw_step(vec_float *p, vec_float *m, vec_float *v, vec_float g, const update *u) {
    *p *= u->decay;
    adam_move(p, m, v, g * u->scale, u);
}

/* Adam (Kingma and Ba, 2015); flag bit 0: decoupled weight decay. The bias corrections are worked in
 * double precision. */
static int TR_K(adam)(const tr_call *c, const tr_worker *w) {
    const double *hyper = c->ptr[4];
    int decoupled = c->flags & 1;
    double lr = hyper[LR] / (1 - pow(hyper[BETA1], hyper[STEP])), decay = c->flags & TR_UNDECAYED ? 0 : hyper[WEIGHT_DECAY];
    if (!step_is_due(c, hyper))
        return 0;
    update u = {.lr = vec_splat((float)lr),
                .beta1 = vec_splat((float)hyper[BETA1]),
                .rest1 = vec_splat((float)(1 - hyper[BETA1])),
                .beta2 = vec_splat((float)hyper[BETA2]),
                .rest2 = vec_splat((float)(1 - hyper[BETA2])),
                .scale = vec_splat((float)hyper[GRADIENT_SCALE]),
                .decay = vec_splat((float)(decoupled ? 1 - hyper[LR] * decay : decay)),
                .epsilon = vec_splat((float)hyper[EPSILON]),
                .correction = vec_splat((float)(1 / sqrt(1 - pow(hyper[BETA2], hyper[STEP]))))};
    tr_runs runs = tr_split_runs(c, w, c->arg[0], 64);
    if (decoupled)
        update_all(3, c->ptr[0], c->ptr[1], c->ptr[2], c->ptr[3], runs, &u, adamw_step);
    else
        update_all(3, c->ptr[0], c->ptr[1], c->ptr[2], c->ptr[3], runs, &u, adam_step);
    return 0;
}
