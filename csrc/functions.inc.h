/* More elementwise kernels over n elements, and two of rows x columns that the C library does one by one. */

TR_FUNCTION(error_function, vec_erf(a))
TR_FUNCTION(logarithm_of_more, vec_log1p(a))
TR_FUNCTION(exponential_less_one, vec_expm1(a))
TR_FUNCTION(sine, vec_sin(a))
TR_FUNCTION(cosine, vec_cos(a))
TR_FUNCTION(rounded, vec_round(a))
TR_FUNCTION(rounded_down, vec_floor(a))
TR_FUNCTION(rounded_up, vec_ceil(a))
TR_FUNCTION(self_gated, vec_silu(a))
TR_FUNCTION(leaky, vec_select(a > 0.0f, a, b * a))
TR_FUNCTION(exponential_unit, vec_select(a > 0.0f, a, b * vec_expm1(a)))
TR_FUNCTION(normally_gated, vec_gelu(a))
TR_FUNCTION(normally_gated_by_tanh, vec_gelu_tanh(a))

TR_MAP(erf, 1, 0, 0, error_function)
TR_MAP(log1p, 1, 0, 0, logarithm_of_more)
TR_MAP(expm1, 1, 0, 0, exponential_less_one)
TR_MAP(sin, 1, 0, 0, sine)
TR_MAP(cos, 1, 0, 0, cosine)
TR_MAP(round, 1, 0, 0, rounded)
TR_MAP(floor, 1, 0, 0, rounded_down)
TR_MAP(ceil, 1, 0, 0, rounded_up)
TR_MAP(silu, 1, 0, 0, self_gated)
TR_MAP(leaky_relu, 1, (float)call->scalar[0], 0, leaky)
TR_MAP(elu, 1, (float)call->scalar[0], 0, exponential_unit)

static int TR_K(gelu)(const tr_call *call, const tr_worker *w) {
    return call->flags & TR_TANH_FORM ? map(call, w, 1, 0, 0, normally_gated_by_tanh)
                                      : map(call, w, 1, 0, 0, normally_gated);
}

/* The gradients take (g, x). */
TR_FUNCTION(self_gated_gradient, a *vec_silu_slope(b))
TR_FUNCTION(leaky_gradient, vec_select(b > 0.0f, a, c *a))
TR_FUNCTION(exponential_unit_gradient, vec_select(b > 0.0f, a, a *(c * vec_exp(b))))
TR_FUNCTION(normally_gated_gradient, a *vec_gelu_slope(b))
TR_FUNCTION(normally_gated_by_tanh_gradient, a *vec_gelu_tanh_slope(b))

TR_MAP(silu_grad, 2, 0, 0, self_gated_gradient)
TR_MAP(leaky_relu_grad, 2, (float)call->scalar[0], 0, leaky_gradient)
TR_MAP(elu_grad, 2, (float)call->scalar[0], 0, exponential_unit_gradient)

static int TR_K(gelu_grad)(const tr_call *call, const tr_worker *w) {
    return call->flags & TR_TANH_FORM ? map(call, w, 2, 0, 0, normally_gated_by_tanh_gradient)
                                      : map(call, w, 2, 0, 0, normally_gated_gradient);
}

/* What is left of a / b when it is rounded down: it has the sign of b. */
TR_INLINE float remainder_of(float a, float b) {
    float rest = fmodf(a, b);
    if (rest == 0.0f)
        return copysignf(0.0f, b);
    return (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
}

/* a / b rounded down: (a - rest) / b is an integer but for its own rounding. */
TR_INLINE float quotient_of(float a, float b) {
    if (b == 0.0f)
        return a / b;
    float rest = fmodf(a, b), whole = (a - rest) / b;
    if (rest != 0.0f && (rest < 0.0f) != (b < 0.0f))
        whole -= 1.0f;
    return whole == 0.0f ? copysignf(0.0f, a / b) : rintf(whole);
}

#define TR_LANE_BY_LANE(name, function)                                                                \
    TR_INLINE vec_float name(vec_float a, vec_float b, vec_float c, vec_float constant) {              \
        float x[TR_LANES], y[TR_LANES];                                                                \
        (void)c, (void)constant;                                                                       \
        vec_store(x, a);                                                                               \
        vec_store(y, b);                                                                               \
        for (int i = 0; i < TR_LANES; i++)                                                             \
            x[i] = function(x[i], y[i]);                                                               \
        return vec_load(x);                                                                            \
    }

TR_LANE_BY_LANE(floored_remainder, remainder_of)
TR_LANE_BY_LANE(floored_quotient, quotient_of)

static int TR_K(mod)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(floored_remainder); }
static int TR_K(floor_divide)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(floored_quotient); }
