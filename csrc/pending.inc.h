/* Temporary: kernels that are not written yet. Delete the line of a kernel when it lands; the file goes when it is empty. */
#define TR_PENDING(name) static int TR_K(name)(const tr_call *c, const tr_worker *w) { (void)c; (void)w; return 1; }
TR_PENDING(softmax)
TR_PENDING(log_softmax)
TR_PENDING(softmax_cross_entropy)
TR_PENDING(softmax_cross_entropy_grad)
TR_PENDING(batchnorm)
TR_PENDING(batchnorm_grad)
TR_PENDING(batchnorm_inference)
TR_PENDING(moving_statistics)
TR_PENDING(random_key)
TR_PENDING(dropout)
#undef TR_PENDING
