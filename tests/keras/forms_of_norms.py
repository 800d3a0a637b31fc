"""Call forms of published Keras notebooks: normalisations without a batch. `test_call_forms` tells how to read them."""

FORMS = r"""
l = layers.LayerNormalization()
z = l(x).numpy()
abs(float(z.mean())) < 1e-5 and [w.name.split('/')[-1] for w in l.weights] == ['gamma', 'beta']

l = layers.LayerNormalization(axis=-1, epsilon=1e-6, center=True, scale=True, beta_initializer='zeros',
        gamma_initializer='ones', beta_regularizer=None, gamma_regularizer=keras.regularizers.L2(0.1))
l(x).shape == (24, 4) and abs(float(l.losses[0].numpy()) - 0.4) < 1e-5

l = layers.LayerNormalization(rms_scaling=True)
! use layers.RMSNormalization

l = layers.LayerNormalization(axis=[1, 2])
l(x.reshape(24, 2, 2)).shape == (24, 2, 2) and l.gamma.shape == (2, 2)

l = layers.RMSNormalization()
np.allclose(l(x).numpy(), x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6), atol=1e-5)

l = layers.GroupNormalization(groups=2)
z = l(x.reshape(6, 2, 2, 4)).numpy()
abs(float(z[0, :, :, :2].mean())) < 1e-5 and l.get_weights()[0].shape == (4,)

l = layers.GroupNormalization(groups=-1, axis=-1, epsilon=1e-3)
np.allclose(l(x.reshape(6, 4, 4)).numpy().mean(1), 0, atol=1e-5)

l = layers.GroupNormalization(groups=3)
l(x)
! groups must divide the channels
"""
