/* Optimizer kernels. hyper is float64[8]: */
enum { LR, MOMENTUM, BETA1 = MOMENTUM, BETA2, EPSILON, WEIGHT_DECAY, GRADIENT_SCALE, STEP, CLIP_NORM };

static int TR_K(optimizer_tick)(const tr_call *c, const tr_worker *w) {
    if (w->ith == 0)
        ((double *)c->ptr[0])[STEP] += 1;
    return 0;
}

/* A norm of NaN or inf gives a scale of NaN or 0: the parameters show it, rather than train on. */
static int TR_K(clip_scale)(const tr_call *c, const tr_worker *w) {
    double *hyper = c->ptr[0], norm = sqrt(*(const double *)c->ptr[1]);
    if (w->ith == 0)
        hyper[GRADIENT_SCALE] = norm <= hyper[CLIP_NORM] ? 1.0 : hyper[CLIP_NORM] / norm;
    return 0;
}
