"""Call forms of published Keras notebooks: layers, files, losses, metrics. `test_call_forms` tells how to read them."""

FORMS = r"""
l = Dense(4, activation='relu', use_bias=True, kernel_initializer='he_normal', bias_initializer='zeros',
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None)
l.units == 4

l = Dense(units=4, activation=keras.activations.relu)
l(x).shape == (24, 4)

l = Dense(4, activation=tf.nn.relu)
! use tinyres.relu

m = Sequential([Dense(1, kernel_initializer='ones', kernel_regularizer=keras.regularizers.l2(0.5), input_shape=(4,))])
m.compile('sgd', 'mse')
v = m.evaluate(x * 0, target * 0, verbose=0)
abs(float(v) - 2.0) < 1e-5

l = Dense(1, kernel_regularizer='l2')
abs(l.kernel_regularizer.l2 - 0.01) < 1e-5

r = keras.regularizers.L1L2(l1=0.1, l2=0.2)
(r.l1, r.l2) == (0.1, 0.2)

m = Sequential([Dense(1, kernel_initializer='ones', kernel_regularizer='l2', input_shape=(4,))])
[round(float(v), 6) for v in m.losses] == [0.04]

l = Dense(4, kernel_constraint='max_norm')
! set the weights after each step, in a Callback

l = Dense(4, activity_regularizer='l2')
! add what depends on activations to the loss, in a loop of your own

m = Sequential([Dense(4, trainable=False, input_shape=(4,)), Dense(1)])
len(m.trainable_weights) == 2

l = Dense(4, dtype='float64')
l(x.astype('float64')).dtype.name == 'float64'

l = Dense('relu')
! give an integer

l = Dense(4, 'relu')
l.activation == 'relu'

l = Dense(4, foo=1)
! it takes units, activation, use_bias, kernel_initializer, bias_initializer, kernel_regular

l = layers.Dropout(0.5, noise_shape=None, seed=3)
abs(float(l(x, training=False).numpy().sum()) - float(x.sum())) < 1e-5

l = layers.Dropout(0.5, seed=3)
z = l(np.ones((100, 100)), training=True).numpy()
sorted(set(z.ravel().tolist())) == [0.0, 2.0]

l = layers.BatchNormalization(axis=-1, momentum=0.99, epsilon=0.001, center=True, scale=True,
        beta_initializer='zeros', gamma_initializer='ones', moving_mean_initializer='zeros',
        moving_variance_initializer='ones')
l(x).shape == (24, 4)

l = layers.Activation('relu')
abs(float(l(np.array([[-1., 2.]])).numpy().sum()) - 2.0) < 1e-5

l = layers.Activation(keras.activations.tanh)
abs(float(l(np.array([[0.5]])).numpy()[0, 0]) - float(np.tanh(0.5))) < 1e-5

l = layers.GaussianNoise(0.1)
z = l(x, training=True).numpy() - x
0.02 < z.std() < 0.3 and np.allclose(l(x).numpy(), x)

l = layers.GaussianDropout(0.5)
z = l(x, training=True).numpy() / x
0.5 < z.std() < 1.5 and np.allclose(l(x).numpy(), x)

l = layers.Lambda(lambda t: t ** 2)
np.allclose(l(x).numpy(), x ** 2)

m = Sequential([keras.Input(shape=(4,)), layers.Lambda(lambda t: t * 2, output_shape=(4,))])
np.allclose(m.predict(x), 2 * x)

m = Sequential([layers.Flatten(input_shape=(2, 2)), Dense(3)])
m.predict(x.reshape(24, 2, 2)).shape == (24, 3)

l = layers.Reshape((2, 2))
l(x).shape == (24, 2, 2)

l = layers.Reshape(target_shape=(-1, 2))
l(x).shape == (24, 2, 2)

l = layers.Permute((2, 1))
np.array_equal(l(x.reshape(24, 2, 2)).numpy(), x.reshape(24, 2, 2).swapaxes(1, 2))

l = layers.RepeatVector(3)
l(x).shape == (24, 3, 4)

z = layers.Add()([x, x])
np.allclose(z.numpy(), 2 * x)

i = keras.Input(shape=(4,))
m = keras.Model(i, layers.add([i, Dense(4)(i)]))
m.predict(x).shape == (24, 4)

i = keras.Input(shape=(4,))
m = keras.Model(i, layers.concatenate([i, i], axis=-1))
m.predict(x).shape == (24, 8)

v = [float(l()([np.array([[4.]]), np.array([[2.]])]).numpy()[0, 0]) for l in (layers.Subtract, layers.Multiply,
        layers.Average, layers.Maximum, layers.Minimum)]
v == [2.0, 8.0, 3.0, 4.0, 2.0]

l = layers.LeakyReLU(alpha=0.1)
abs(float(l(np.array([[-1.]])).numpy()[0, 0]) - -0.1) < 1e-5

l = layers.ReLU(max_value=6.0)
abs(float(l(np.array([[9.]])).numpy()[0, 0]) - 6.0) < 1e-5

l = layers.Softmax(axis=-1)
np.allclose(l(x).numpy().sum(1), 1)

l = layers.ELU(alpha=1.0)
abs(float(l(np.array([[-1.]])).numpy()[0, 0]) - float(np.exp(-1) - 1)) < 1e-5

l = layers.Normalization(axis=-1)
l.adapt(x)
np.allclose(l(x).numpy().std(0), 1, atol=1e-3)

l = layers.Rescaling(1./255)
np.allclose(l(x).numpy(), x / 255)

l = layers.LSTM(8)
! write the steps in a layer of your own

l = layers.Embedding(10, 4)
l(np.array([[1, 9]])).shape == (1, 2, 4)

from tinyres.keras.layers import Dense, LSTM
! write the steps in a layer of your own

class L(layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer='random_normal', trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer='zeros', trainable=True)
    def call(self, inputs):
        return tf.matmul(inputs, self.w) + self.b
l = L(5, name='mine', trainable=True, dtype='float32')
(l(x).shape, l.name, len(l.weights)) == ((24, 5), 'mine', 2)

class L(layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.u = units
    def get_config(self):
        config = super().get_config()
        config.update({'units': self.u})
        return config
    def call(self, x):
        return x * self.u
m = Sequential([keras.Input(shape=(4,)), L(7)])
m.save('own.npz')
m2 = keras.models.load_model('own.npz')
np.allclose(m2.predict(x), 7 * x)

class L(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight('w', shape=(input_shape[-1],), initializer='ones')
        super().build(input_shape)
    def call(self, x):
        return x * self.w
l = L()
np.allclose(l(x).numpy(), x)

class L(layers.Layer):
    def build(self, s):
        self.w = self.add_weight(name='w', shape=(4,), initializer='ones', constraint=None, dtype='float32')
    def call(self, x):
        return x * self.w
np.allclose(L()(x).numpy(), x)

class L(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
    def call(self, x):
        return x
m = Sequential([L(input_shape=(4,)), Dense(1)])
m.count_params() == 5

l = Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=1))
m = Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=1))
bool(np.array_equal(l(x).numpy(), m(x).numpy()))

k = keras.initializers.RandomNormal(mean=1.0, stddev=0.0)((2, 2))
np.asarray(k).tolist() == [[1.0, 1.0], [1.0, 1.0]]

k = keras.initializers.TruncatedNormal(mean=0.0, stddev=0.05)
abs(np.asarray(k((50, 50)))).max() <= 0.1

k = keras.initializers.VarianceScaling(scale=2.0, mode='fan_in', distribution='truncated_normal')
abs(np.asarray(k((1000, 10))).std() - 0.0447) < 0.003

k = keras.initializers.get('ones')
np.asarray(k((2,))).tolist() == [1.0, 1.0]

l = Dense(1, bias_initializer=keras.initializers.Constant(0.5), kernel_initializer='zeros')
abs(float(l(x).numpy()[0, 0]) - 0.5) < 1e-5

f = keras.activations.get('relu')
abs(float(f(tf.tensor([-1.0, 2.0])).numpy().sum()) - 2.0) < 1e-5

f = keras.activations.softmax(tf.tensor([[1.0, 1.0]]))
f.numpy().tolist() == [[0.5, 0.5]]

c = keras.utils.to_categorical(labels, num_classes=3)
c.tolist() == onehot.tolist()

c = keras.utils.to_categorical(labels, 3, dtype='float32')
c.shape == (24, 3)

from tinyres.keras.utils import np_utils
! use keras.utils.to_categorical

keras.utils.plot_model(model, to_file='model.png', show_shapes=True)
! use model.graph(x, y).trace().export("net.svg")

state = np.random.get_state()
keras.utils.set_random_seed(1)
a = Dense(2)(x).numpy()
keras.utils.set_random_seed(1)
b = Dense(2)(x).numpy()
np.random.set_state(state)
np.array_equal(a, b)

n = keras.utils.normalize(x, axis=1)
np.allclose((n ** 2).sum(1), 1)

keras.utils.get_file('a', 'http://x')
! use tinyres.data.load_table(path)

keras.datasets.mnist.load_data()
! use tinyres.data.load_digits(), or load_mnist(folder) with its files there: nothing is downloaded

from tinyres.keras.datasets import mnist
! use tinyres.data.load_digits(), or load_mnist(folder) with its files there: nothing is downloaded

from tinyres.keras import preprocessing
! layers.Rescaling, Normalization, RandomFlip, RandomCrop are there

K.clear_session()
abs(K.epsilon() - 1e-07) < 1e-5

v = K.mean(K.square(tf.tensor([1.0, 3.0])))
abs(float(v) - 5.0) < 1e-5

K.set_value(model.optimizer.learning_rate, 0.5)
abs(float(K.get_value(model.optimizer.learning_rate)) - 0.5) < 1e-5

v = K.get_value(model.optimizer.lr)
abs(float(v) - 0.001) < 1e-5

v = float(K.sum(K.sqrt(K.abs(K.exp(K.log(tf.tensor([4.0])))))))
abs(v - 2.0) < 1e-5

v = K.clip(K.cast(np.array([5]), 'float32'), 0, 1)
abs(float(v[0]) - 1.0) < 1e-5

v = K.int_shape(keras.Input(shape=(4,)))
v == (None, 4)

v = K.image_data_format()
v == 'channels_last'

v = K.floatx()
v == 'float32'

def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true), axis=-1))
reg.compile('sgd', 'mse', metrics=[rmse])
abs(reg.evaluate(x, target, verbose=0)[1] - float(np.mean(abs(target)))) < 1e-5

v = keras.ops.mean(keras.ops.square(tf.tensor([1.0, 3.0])))
abs(float(v) - 5.0) < 1e-5

model.save('m.npz')
m = keras.models.load_model('m.npz')
np.array_equal(m.predict(x), model.predict(x))

model.save('m.npz')
m = keras.models.load_model('m.npz', compile=False, custom_objects=None)
m.optimizer is None

model.save('m.h5')
! name it m.npz

model.save('m.keras')
! name it m.npz

model.save('m.npz', save_format='h5')
! name the file "model.npz"

model.save('folder')
! name it folder.npz

model.save('m.npz', overwrite=True, include_optimizer=True)
type(keras.models.load_model('m.npz').optimizer).__name__ == 'Adam'

model.save_weights('w.npz')
w = model.get_weights()
model.fit(x, labels, verbose=0)
model.load_weights('w.npz')
all(np.array_equal(a, b) for a, b in zip(w, model.get_weights()))

model.save_weights('m.weights.h5')
! name it m.weights.npz

model.save_weights('w.npz')
model.load_weights('w.npz', by_name=True)
! copy layer by layer with layer.set_weights

m = keras.models.model_from_json(model.to_json())
m.count_params() == 67

keras.models.save_model(model, 'm.npz')
! use model.save(path)

keras.models.load_model('missing.npz')
! check the path

l = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
abs(float(l(np.array([0]), np.array([[0., 0.]]))) - float(np.log(2))) < 1e-5

l = keras.losses.BinaryCrossentropy(from_logits=False, label_smoothing=0.0)
abs(float(l(np.array([[1.]]), np.array([[0.5]]))) - float(np.log(2))) < 1e-5

model.compile('adam', keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=['accuracy'])
len(model.evaluate(x, onehot, verbose=0)) == 2

reg.compile('sgd', keras.losses.MeanSquaredError())
abs(float(reg.evaluate(x, target, verbose=0)) - float(np.mean(target**2))) < 1e-5

l = keras.losses.Huber(delta=2.0)
abs(float(l(np.array([[0.]]), np.array([[1.]]))) - 0.5) < 1e-5

class L(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return tf.mean(tf.square(y_true - y_pred), axis=-1)
reg.compile('sgd', L())
abs(float(reg.evaluate(x, target, verbose=0)) - float(np.mean(target**2))) < 1e-5

class M(keras.metrics.Metric):
    def __init__(self, name='m', **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name='t', initializer='zeros')
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(1.0)
    def result(self):
        return self.total
reg.compile('sgd', 'mse', metrics=[M()])
reg.evaluate(x, target)
! write one of these

m = Sequential([keras.Input(shape=(4,)), Dense(1, activation='sigmoid')])
m.compile('adam', 'binary_crossentropy', metrics=[keras.metrics.Precision(name='p'),
        keras.metrics.Recall(name='r'), keras.metrics.AUC(name='auc')])
len(m.evaluate(x, bits, verbose=0)) == 4

reg.compile('sgd', 'mse', metrics=['mae', 'mse', 'mape', keras.metrics.RootMeanSquaredError()])
reg.metrics_names == ['loss', 'mae', 'mse', 'mape', 'root_mean_squared_error']

m = keras.metrics.BinaryAccuracy()
m.update_state([1, 0], [0.9, 0.1])
abs(float(m.result()) - 1.0) < 1e-5

m = keras.metrics.MeanSquaredError()
m.update_state([1.0], [3.0])
v = m.result().numpy()
abs(float(v) - 4.0) < 1e-5

m = keras.metrics.MeanSquaredError()
m.update_state([1.0], [3.0])
m.reset_states()
m.update_state([1.0], [2.0])
abs(float(m.result()) - 1.0) < 1e-5

m = keras.metrics.Mean()
m.update_state(2.0)
m.update_state(4.0)
! use np.mean over float(loss) of each step

m = keras.metrics.Precision(top_k=2)
! leave them out
"""
