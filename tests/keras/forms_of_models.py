"""Call forms of published Keras notebooks: models. `test_call_forms` tells how to read them."""

FORMS = r"""
m = keras.Sequential([keras.Input(shape=(4,)), Dense(3)])
m.output_shape == (None, 3)

m = keras.models.Sequential()
m.add(Dense(5, input_dim=4, activation='relu'))
m.add(Dense(3))
m.count_params() == 43

m = Sequential([Dense(3, input_shape=(4,))], name='net')
m.name == 'net'

m = Sequential([layers.InputLayer(input_shape=(4,)), Dense(2)])
m.input_shape == (None, 4)

m = Sequential([layers.InputLayer(shape=(4,)), Dense(2)])
len(m.layers) == 1

i = keras.Input(4)
m = keras.Model(i, Dense(2)(i))
! write shape=(4,)

i = keras.layers.Input(shape=[4])
m = keras.Model(i, Dense(2)(i))
m.predict(x).shape == (24, 2)

i = keras.Input(batch_shape=(None, 4))
m = keras.Model(i, Dense(2)(i))
m.predict(x).shape == (24, 2)

i = keras.Input(shape=(4,), batch_size=8)
m = keras.Model(i, Dense(2)(i))
m.predict(x, batch_size=8).shape == (24, 2)

i = keras.Input(shape=(4,), dtype='float32', name='features')
m = keras.Model(i, Dense(2)(i))
m.predict({'features': x}).shape == (24, 2)

i = keras.Input(shape=(4,))
m = keras.Model(inputs=i, outputs=Dense(2)(i), name='f')
m.name == 'f'

i = keras.Input(shape=(4,))
m = keras.Model(inputs=[i], outputs=[Dense(2)(i)])
np.shape(m.predict(x)[0]) == (24, 2)

m = keras.Model(model.input, model.layers[0].output)
m.predict(x).shape == (24, 8)

m = keras.Model(inputs=model.inputs, outputs=model.layers[-2].output)
m.predict(x).shape == (24, 8)

m = keras.Model(model.inputs, model.get_layer('hidden').output)
m.predict(x).shape == (24, 8)

l = model.get_layer(index=0)
l.name == 'hidden'

i = keras.Input(shape=(4,))
m = keras.Model(i, Dense(1)(model(i)))
m.output_shape == (None, 1)

class M(keras.Model):
    def __init__(self):
        super().__init__()
        self.d = Dense(2)
    def call(self, inputs):
        return self.d(inputs)
m = M()
m(x).shape == (24, 2)

class M(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.d = layers.Dropout(0.5)
    def call(self, inputs, training=None):
        return self.d(inputs, training=training)
m = M(name='n')
abs(float(np.abs(m(x, training=False).numpy() - x).max()) - 0.0) < 1e-5

class M(keras.Model):
    def __init__(self):
        super().__init__()
        self.d = Dense(1, kernel_initializer='zeros')
    def call(self, x):
        return self.d(x)
m = M()
m.compile(optimizer='sgd', loss='mse')
h = m.fit(x, target, verbose=0, shuffle=False)
abs(h.history['loss'][0] - float(np.mean(target**2))) < 1e-5

w, b = model.layers[0].get_weights()
(w.shape, b.shape) == ((4, 8), (8,))

other = keras.models.clone_model(model)
other.set_weights(model.get_weights())
np.array_equal(other.predict(x), model.predict(x))

model.layers[-1].set_weights([np.zeros((8, 3)), np.array([0., 0., 9.])])
model.predict(x).argmax(1).tolist() == [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]

n = [w.name for w in model.weights]
n == ['hidden/kernel', 'hidden/bias', 'dense/kernel', 'dense/bias']

n = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
n == 67

model.layers[0].trainable = False
len(model.trainable_weights) == 2

model.trainable = False
(len(model.trainable_weights), len(model.non_trainable_weights)) == (0, 4)

for layer in model.layers[:-1]:
    layer.trainable = False
[l.trainable for l in model.layers] == [False, True]

p = model(x).numpy()
np.allclose(p.sum(axis=1), 1)

p = model.call(tf.tensor(x))
p.shape == (24, 3)

lines = []
model.summary(print_fn=lambda s, **k: lines.append(s))
lines[-1] == '67 parameters: 67 trained, 0 not trained'

lines = []
model.summary(expand_nested=True, show_trainable=True, positions=None, print_fn=lines.append)
len(lines) > 4

m = Sequential([Dense(3)])
m.build((None, 4))
m.count_params() == 15

m = Sequential([Dense(3)])
m.build(input_shape=(None, 4))
m.built

model.pop()
len(model.layers) == 1

m = keras.models.clone_model(model)
([w.shape for w in m.get_weights()] == [w.shape for w in model.get_weights()]
        and not np.array_equal(m.get_weights()[0], model.get_weights()[0]))

c = model.get_config()
'graph' in c

s = model.to_json()
'hidden' in s

m = keras.Sequential.from_config(model.get_config())
m.count_params() == 67

c = model.layers[0].get_config()
(c['units'], c['activation']) == (8, 'relu')

l = Dense.from_config(Dense(7, activation='tanh').get_config())
(l.units, l.activation) == (7, 'tanh')

s = (model.layers[1].input.shape, model.layers[1].output.shape)
s == ((None, 8), (None, 3))

s = (model.layers[1].input_shape, model.layers[1].output_shape)
s == ((None, 8), (None, 3))

s = Dense(7).compute_output_shape((None, 4))
s == (None, 7)

model.fit(x, labels, verbose=0)
v = model.evaluate(x, labels)
model.reset_metrics()
model.evaluate(x, labels) == v

model.optimizer.learning_rate = 0.5
abs(float(model.optimizer.learning_rate) - 0.5) < 1e-5

model.optimizer.learning_rate.assign(0.5)
abs(float(model.optimizer.learning_rate) - 0.5) < 1e-5

r = model.optimizer.learning_rate.numpy()
abs(float(r) - 0.001) < 1e-5

n = model.metrics_names
n == ['loss', 'accuracy']

model.fit(x, labels, epochs=2, verbose=0)
len(model.history.history['loss']) == 2

s = model.stop_training
s == False

m = keras.Model(model.inputs, model.outputs, name='net')
m.name == 'net'

i = keras.Input(shape=(4,))
m = keras.Model(i, Dense(1)(i))
m.add_loss(0.5)
! give kernel_regularizer, or add the term in a captured step of your own

model.add_metric(1.0, name='m')
! give the value as an output of the model, and compile(metrics=[...])

class M(keras.Model):
    def train_step(self, data):
        x, y = data
        return {'loss': 0.0}
i = keras.Input(shape=(4,))
m = M(i, Dense(1)(i))
m.compile(loss='mse')
m.fit(x, target, verbose=0)
! write the step as a function under tinyres.capture, and the loop around it

a, b = keras.Input(shape=(4,), name='a'), keras.Input(shape=(4,), name='b')
m = keras.Model([a, b], Dense(1, kernel_initializer='ones', use_bias=False)(layers.Concatenate()([a, b])))
np.allclose(m.predict({'a': x, 'b': x}), 2 * x.sum(1, keepdims=True), atol=1e-5)

a, b = keras.Input(shape=(4,), name='a'), keras.Input(shape=(4,), name='b')
m = keras.Model(inputs={'a': a, 'b': b}, outputs=layers.add([a, b]))
np.allclose(m.predict({'b': x, 'a': x}), 2 * x)

i = keras.Input(shape=(4,))
m = keras.Model(i, [Dense(1, name='p')(i), Dense(3, activation='softmax', name='c')(i)])
m.compile(optimizer='adam', loss={'p': 'mse', 'c': 'sparse_categorical_crossentropy'}, loss_weights={'p': 0.5,
        'c': 1.0}, metrics={'c': ['accuracy']})
h = m.fit(x, {'p': target, 'c': labels}, verbose=0)
sorted(h.history) == ['c_accuracy', 'c_loss', 'loss', 'p_loss']

model.compile('adam', 'sparse_categorical_crossentropy', ['accuracy'])
len(model.evaluate(x, labels, verbose=0)) == 2

model.compile(optimizer='rmsprop', loss='sparse_categorical_crossentropy')
type(model.optimizer).__name__ == 'RMSprop'

model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=False),
        metrics=[keras.metrics.SparseCategoricalAccuracy()])
model.metrics_names == ['loss', 'sparse_categorical_accuracy']

model.compile(optimizer=keras.optimizers.Adam, loss='mse')
! write Adam(lr=...)

model.compile('adam', 'sparse_categorical_crossentropy', run_eagerly=True)
h = model.fit(x, labels, verbose=0)
len(h.history['loss']) == 1

seen = []
def loss(y_true, y_pred):
    seen.append(float(y_pred.numpy().sum()))
    return (y_true - y_pred) ** 2
reg.compile('sgd', loss, run_eagerly=True)
reg.fit(x, target, batch_size=8, epochs=2, verbose=0)
len(seen) == 6

model.compile('adam', 'sparse_categorical_crossentropy', jit_compile=True)
model.fit(x, labels, verbose=0).epoch == [0]

model.compile('adam', 'sparse_categorical_crossentropy', steps_per_execution=4)
model.fit(x, labels, verbose=0).epoch == [0]

reg.compile('sgd', 'mse', weighted_metrics=['mae'])
v = reg.evaluate(x, target, sample_weight=weight, verbose=0)
abs(v[1] - float((weight * abs(target[:, 0])).sum() / weight.sum())) < 1e-5

model.compile('adam', 'sparse_categorical_crossentropy', metrics=['acc'], weighted_metrics=[])
model.metrics_names == ['loss', 'acc']

model.compile('adam', 'sparse_categorical_crossentropy', auto_scale_loss=True)
model.metrics_names == ['loss']

model.compile('adam')
! choose one, such as loss="mse"

model.compile('adam', 'sparse_categorical_crossentropy', sample_weight_mode='temporal')
! a sample_weight may have one number for each step of a sequence

model.compile('adam', 'mse', target_tensors=None)
model.metrics_names == ['loss']

model.compile('adam', 'sparse_categorical_crossentropy', metrics='accuracy')
! write metrics=["accuracy"]

def custom(y_true, y_pred):
    return tf.mean(tf.square(y_true - y_pred), axis=-1)
reg.compile('sgd', custom)
abs(reg.evaluate(x, target, verbose=0)[0] - float(np.mean(target**2))) < 1e-5

reg.compile('sgd', lambda y_true, y_pred: (y_true - y_pred) ** 2)
abs(reg.evaluate(x, target, verbose=0)[0] - float(np.mean(target**2))) < 1e-5

reg.compile('sgd', loss=keras.losses.mean_squared_error)
abs(reg.evaluate(x, target, verbose=0)[0] - float(np.mean(target**2))) < 1e-5

reg.compile('sgd', 'MSE', ['MAE'])
reg.metrics_names == ['loss', 'MAE']

reg.compile('SGD', 'mean_squared_error')
abs(reg.optimizer.lr - 0.01) < 1e-5

reg.compile({'class_name': 'Adam', 'config': {'learning_rate': 0.1}}, 'mse')
abs(reg.optimizer.lr - 0.1) < 1e-5

o = keras.optimizers.get('adam')
type(o).__name__ == 'Adam'

o = keras.optimizers.deserialize({'class_name': 'SGD', 'config': {'learning_rate': 0.5}})
abs(o.lr - 0.5) < 1e-5

l = keras.losses.get('mse')
abs(float(l(np.array([[1.]]), np.array([[3.]])).numpy().mean()) - 4.0) < 1e-5

m = keras.metrics.get('mae')
abs(float(m([1.], [3.])) - 2.0) < 1e-5

c = keras.optimizers.SGD(0.1, momentum=0.9).get_config()
(c['learning_rate'], c['momentum']) == (0.1, 0.9)

o = keras.optimizers.Adam.from_config({'learning_rate': 0.3})
abs(o.lr - 0.3) < 1e-5

model.fit(x, labels, batch_size=8, verbose=0)
int(model.optimizer.iterations) == 3

w = tf.tensor([1.0], requires_grad=True)
o = keras.optimizers.SGD(0.5)
o.apply_gradients([(tf.tensor([1.0]), w)])
w.numpy().tolist() == [0.5]

w = tf.tensor([1.0], requires_grad=True)
o = keras.optimizers.SGD(0.5)
o.minimize(lambda: w * w, [w])
! write optimizer.zero_grad(), loss.backward(), optimizer.step()

o = keras.optimizers.Adam()
o.build(model.trainable_variables)
len(o.variables) > 0

with tf.GradientTape() as tape:
    loss = model(x)
! gradients stand in .grad

f = tf.function(lambda x: x * 2)
! use tinyres.capture

a = tf.constant([1.0, 2.0])
! use tinyres.tensor(array)

a = tf.Variable([1.0, 2.0])
! use tinyres.tensor(array, requires_grad=True), or tinyres.Parameter

a = tf.reduce_mean(tf.tensor([1.0, 3.0]))
! use tinyres.mean

tf.random.set_seed(0)
! use tinyres.manual_seed, and NumPy's generators

d = tf.data.Dataset.from_tensor_slices((x, labels))
! use tinyres.data.Loader(x, y, batch_size=32), or give arrays to fit

a = tf.nn.relu(tf.tensor([-1.0]))
! use tinyres.relu

a = tf.cast(tf.tensor([1]), 'float32')
! use tensor.astype("float32")

g = tf.config.list_physical_devices('GPU')
! tinyres.info() shows how

v = tf.__version__
isinstance(v, str)
"""
