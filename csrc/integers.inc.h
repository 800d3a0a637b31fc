/* Kernels on int64 and bool: arithmetic, comparisons, logic, reductions. Overflow wraps around; a quotient and a
 * remainder by 0 are 0, as in NumPy. */

/* OPERATIONS in record.py: bits 4 to 7 of the flags. */
enum { ADD, SUB, MUL, FLOOR_DIVIDE, MOD, MAXIMUM, MINIMUM, AND, OR, XOR, POW };

TR_INLINE int64_t floored_integer_quotient(int64_t a, int64_t b) {
    if (b == 0 || b == -1) /* the smallest number has no opposite */
        return b == 0 ? 0 : (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

TR_INLINE int64_t floored_integer_rest(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)floored_integer_quotient(a, b) * (uint64_t)b) * (b != 0);
}

/* By squaring; 0 for an exponent below 0. */
TR_INLINE int64_t integer_power(int64_t a, int64_t b) {
    uint64_t power = b >= 0, base = (uint64_t)a;
    for (; b > 0; b >>= 1, base *= base)
        power *= b & 1 ? base : 1;
    return (int64_t)power;
}

TR_INLINE int64_t integer_operation(int operation, int64_t a, int64_t b) {
    switch (operation) {
    case ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
    case SUB: return (int64_t)((uint64_t)a - (uint64_t)b);
    case MUL: return (int64_t)((uint64_t)a * (uint64_t)b);
    case FLOOR_DIVIDE: return floored_integer_quotient(a, b);
    case MOD: return floored_integer_rest(a, b);
    case MAXIMUM: return a > b ? a : b;
    case MINIMUM: return a < b ? a : b;
    case AND: return a & b;
    case OR: return a | b;
    case POW: return integer_power(a, b);
    default: return a ^ b;
    }
}

TR_INLINE int integer_relation(int relation, int64_t a, int64_t b) {
    switch (relation) {
    case 0: return a > b;
    case 1: return a >= b;
    case 2: return a < b;
    case 3: return a <= b;
    case 4: return a == b;
    default: return a != b;
    }
}

/* Where input `index` stands at (row, column), and how far it goes per column. */
TR_INLINE int64_t input_at(const tr_call *c, int index, int64_t row, int64_t column, int64_t *step) {
    int mode = c->flags >> (2 * index) & 3;
    *step = mode == FULL || mode == ROW;
    return (mode == FULL ? row * c->arg[1] : mode == COLUMN ? row : 0) + *step * column;
}

/* out[row, column] = expression of x and y over this worker's elements. */
#define TR_INTEGER_ROWS(to, from, expression)                                                          \
    do {                                                                                               \
        int64_t cols = c->arg[1], begin, end, step_a, step_b;                                          \
        tr_split(w, c->arg[0] * cols, 64, &begin, &end);                                               \
        while (begin < end) {                                                                          \
            int64_t row = begin / cols, column = begin % cols, n = at_most(cols - column, end - begin); \
            const from *a = (const from *)c->ptr[1] + input_at(c, 0, row, column, &step_a);            \
            const from *b = (const from *)c->ptr[2] + input_at(c, 1, row, column, &step_b);            \
            to *out = (to *)c->ptr[0] + begin;                                                         \
            for (int64_t i = 0; i < n; i++) {                                                          \
                from x = a[i * step_a], y = b[i * step_b];                                             \
                out[i] = (to)(expression);                                                             \
            }                                                                                          \
            begin += n;                                                                                \
        }                                                                                              \
    } while (0)

static int TR_K(integers)(const tr_call *c, const tr_worker *w) {
    int operation = c->flags >> 4 & 15;
    TR_INTEGER_ROWS(int64_t, int64_t, integer_operation(operation, x, y));
    return 0;
}

static int TR_K(compare_integers)(const tr_call *c, const tr_worker *w) {
    int relation = c->flags >> 4 & 7;
    TR_INTEGER_ROWS(char, int64_t, integer_relation(relation, x, y));
    return 0;
}

static int TR_K(logic)(const tr_call *c, const tr_worker *w) {
    int operation = c->flags >> 4 & 15;
    TR_INTEGER_ROWS(char, char, operation == AND ? x & y : operation == OR ? x | y : x ^ y);
    return 0;
}

/* out[outer, inner]: n elements by one operation, 1 or 0 if there are none. */
static int TR_K(reduce_integers)(const tr_call *c, const tr_worker *w) {
    int64_t *out = c->ptr[0];
    const int64_t *x = c->ptr[1];
    int64_t n = c->arg[1], inner = c->arg[2], begin, end;
    int operation = c->flags >> 4 & 15;
    tr_split(w, c->arg[0] * inner, 8, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t *from = x + i / inner * n * inner + i % inner;
        int64_t total = operation == MUL;
        for (int64_t k = 0; k < n; k++)
            total = k == 0 ? from[0] : integer_operation(operation, total, from[k * inner]);
        out[i] = total;
    }
    return 0;
}
