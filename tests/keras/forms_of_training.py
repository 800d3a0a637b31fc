"""Call forms of published Keras notebooks: training, sequences. `test_call_forms` tells how to read them."""

FORMS = r"""
h = model.fit(x, labels, 8, 2, 0)
len(h.history['loss']) == 2

h = reg.fit(x, target, batch_size=None, epochs=1, verbose=0)
! choose another

h = model.fit(x, labels, validation_split=0.25, epochs=2, verbose=0)
list(h.history) == ['loss', 'accuracy', 'val_loss', 'val_accuracy']

h = model.fit(x, labels, validation_data=(x, labels), validation_freq=2, epochs=5, verbose=0)
len(h.history['val_loss']) == 2

h = model.fit(x, labels, validation_data=(x, labels), validation_freq=[1, 5], epochs=5, verbose=0)
len(h.history['val_loss']) == 2

h = model.fit(x, labels, validation_data=(x, labels), validation_batch_size=5, verbose=0)
abs(h.history['val_loss'][0] - model.evaluate(x, labels)[0]) < 1e-5

seen = []
class C(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        seen.append(batch)
h = model.fit(x, labels, batch_size=4, validation_split=0.5, validation_steps=2, callbacks=[C()], verbose=0)
seen == [0, 1]

h = model.fit(x, labels, batch_size=8, steps_per_epoch=2, verbose=0)
model.optimizer.steps == 2

h = model.fit(x, labels, workers=4, use_multiprocessing=True, max_queue_size=10, verbose=0)
h.epoch == [0]

h = reg.fit(x, target, shuffle=False, batch_size=24, verbose=0)
abs(h.history['loss'][0] - float(np.mean(target**2))) < 1e-5

h = model.fit(x, labels, shuffle='batch', verbose=0)
h.epoch == [0]

h = model.fit(x, labels, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, verbose=0)
len(h.history['loss']) == 1

h = reg.fit(x, target, sample_weight=weight, batch_size=24, verbose=0)
abs(h.history['loss'][0] - float(np.mean(weight * target[:, 0]**2))) < 1e-5

h = model.fit(x, labels, initial_epoch=3, epochs=5, verbose=0)
h.epoch == [3, 4]

def gen():
    while True:
        yield x[:8], labels[:8]
h = model.fit(gen(), steps_per_epoch=3, epochs=2, verbose=0)
model.optimizer.steps == 6

def gen():
    while True:
        yield x[:8], labels[:8]
model.fit_generator(gen(), steps_per_epoch=3, epochs=2)
! use fit, which takes generators

model.predict_generator(iter([x]))
! use predict, which takes generators

p = model.predict_classes(x)
! use model.predict(x).argmax(axis=-1)

p = model.predict_proba(x)
! tinyres has no .predict_proba

model.fit(x, labels, nb_epoch=3)
! write epochs

h = model.fit(x, labels, epochs=2, verbose=0).history
sorted(h) == ['accuracy', 'loss']

h = model.fit(x, labels, verbose=2)
h.params['epochs'] == 1

h = model.fit(x, labels, epochs=3, verbose=0)
(h.params['epochs'], h.params['steps']) == (3, 1)

h = model.fit(x, labels, verbose=0)
h.model is model

loss, acc = model.evaluate(x, labels, verbose=0)
0 <= acc <= 1

d = model.evaluate(x, labels, verbose=0, return_dict=True)
sorted(d) == ['accuracy', 'loss']

s = 'loss %.3f' % reg.evaluate(x, target, verbose=0)
s == 'loss %.3f' % np.mean(target**2)

s = f'{reg.evaluate(x, target, verbose=0):.3f}'
s == '%.3f' % np.mean(target**2)

v = model.evaluate(x, labels, batch_size=8, steps=1, verbose=0)
len(v) == 2

p = model.predict(x, batch_size=8, verbose=0)
np.allclose(p, model(x).numpy(), atol=1e-6)

p = model.predict(x, 8, 1)
p.shape == (24, 3)

p = model.predict(x[:1])
p.shape == (1, 3)

p = model.predict(x[0])
! a single sample is x[None]

p = model.predict(x, batch_size=8, steps=2)
p.shape == (16, 3)

p = np.argmax(model.predict(x), axis=-1)
p.shape == (24,)

v = reg.train_on_batch(x, target)
abs(float(v) - float(np.mean(target**2))) < 1e-5

v = model.train_on_batch(x, labels, return_dict=True)
sorted(v) == ['accuracy', 'loss']

v = model.train_on_batch(x, labels, reset_metrics=True)
len(v) == 2

v = reg.test_on_batch(x, target)
abs(float(v) - float(np.mean(target**2))) < 1e-5

v = model.predict_on_batch(x)
v.shape == (24, 3)

h = reg.fit(x, target, epochs=50, verbose=0, callbacks=[keras.callbacks.EarlyStopping(monitor='loss', patience=2,
        min_delta=10.0)])
len(h.epoch) == 3

c = keras.callbacks.EarlyStopping('val_loss', patience=1, restore_best_weights=True, mode='min', verbose=0)
h = model.fit(x, labels, epochs=2, validation_split=0.2, verbose=0, callbacks=[c])
c.best == min(h.history['val_loss'])

keras.callbacks.EarlyStopping(monitor='loss', pationce=3)
! it takes (monitor: str = val_loss, min_delta: float = 0.0, patience: int = 0, verbose: int

model.fit(x, labels, epochs=2, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint('best.npz', monitor='loss',
        save_best_only=True)])
import os
os.path.exists('best.npz')

model.fit(x, labels, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(filepath='w.npz',
        save_weights_only=True, verbose=0, save_freq='epoch')])
w = model.get_weights()
model.fit(x, labels, verbose=0)
model.load_weights('w.npz')
np.array_equal(model.get_weights()[0], w[0])

keras.callbacks.ModelCheckpoint('best.h5')
! name it best.npz

keras.callbacks.ModelCheckpoint('best.keras')
! name it best.npz

keras.callbacks.ModelCheckpoint('best.npz', period=2)
! it takes (filepath: PathLike, monitor: str = val_loss, verbose: int = 0, save_best_only: b

reg.fit(x, target, epochs=4, verbose=0, callbacks=[keras.callbacks.ReduceLROnPlateau(monitor='loss', factor=0.1,
        patience=1, min_delta=9.0, min_lr=1e-4)])
abs(float(reg.optimizer.learning_rate) - 0.0001) < 1e-5

h = reg.fit(x, target, epochs=3, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch,
        lr: lr * 0.5)])
[round(v, 5) for v in h.history['learning_rate']] == [0.005, 0.0025, 0.00125]

seen = []
model.fit(x, labels, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda e,
        logs: seen.append(e))])
seen == [0]

class C(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if logs.get('loss') is not None:
            self.model.stop_training = True
h = model.fit(x, labels, epochs=9, verbose=0, callbacks=[C()])
len(h.epoch) == 1

class C(keras.callbacks.Callback):
    def __init__(self, n):
        super().__init__()
        self.n = n
    def on_train_end(self, logs=None):
        self.n += 1
c = C(1)
model.fit(x, labels, verbose=0, callbacks=[c])
c.n == 2

h = model.fit(x, labels, verbose=0, callbacks=keras.callbacks.EarlyStopping('loss'))
! write callbacks=[...]

model.fit(x, labels, epochs=2, verbose=0, callbacks=[keras.callbacks.CSVLogger('log.csv', separator=',',
        append=False)])
Path('log.csv').read_text().count('\n') == 3

c = keras.callbacks.TerminateOnNaN()
model.fit(x, labels, verbose=0, callbacks=[c])
! fit stops by itself, before a loss that is not finite changes anything

c = keras.callbacks.History()
model.fit(x, labels, verbose=0, callbacks=[c])
! leave it out

from tinyres.keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, Callback
EarlyStopping().patience == 0

from tinyres.keras.callbacks import TensorBoard
TensorBoard.__name__ == 'TensorBoard'

o = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True)
(o.momentum, o.nesterov) == (0.9, True)

o = keras.optimizers.SGD(lr=0.01, decay=1e-6, momentum=0.9)
! give a schedule, such as optimizers.schedules.InverseTimeDecay, as learning_rate

o = keras.optimizers.Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, name='Adam')
abs(o.epsilon - 1e-07) < 1e-5

o = keras.optimizers.Adam(clipnorm=1.0)
! give global_clipnorm, which clips them together

o = keras.optimizers.Adam(global_clipnorm=1.0)
abs(o.clip_norm - 1.0) < 1e-5

o = keras.optimizers.Adam(clipvalue=0.5)
! give global_clipnorm

o = keras.optimizers.Adam(use_ema=True)
! leave it out

o = keras.optimizers.Adam(use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, jit_compile=True)
abs(o.lr - 0.001) < 1e-5

o = keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-2)
abs(o.weight_decay - 0.01) < 1e-5

o = keras.optimizers.RMSprop(learning_rate=0.001, rho=0.8, momentum=0.1, epsilon=1e-7, centered=False)
abs(o.rho - 0.8) < 1e-5

o = keras.optimizers.legacy.Adam(0.01)
! leave legacy out, as in optimizers.Adam

o = keras.optimizers.Adagrad(0.01)
! use RMSprop or Adam

b = isinstance(keras.optimizers.Adam(), keras.optimizers.Adam)
b

s = keras.optimizers.schedules.ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5,
        staircase=True)
o = keras.optimizers.SGD(learning_rate=s)
abs(s(10) - 0.05) < 1e-5

s = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100)
abs(s(100) - 0.0) < 1e-5

s = keras.optimizers.schedules.PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
abs(s(15) - 0.01) < 1e-5

s = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100, foo=1)
! it takes (initial_learning_rate: float, decay_steps: int, alpha: float = 0.0

o = keras.optimizers.Adam(learning_rat=0.1)
! leave it out

o = tf.optim.Adam(learning_rat=0.1)
! it takes (params: Iterable[Tensor] | None = None, lr=0.001, learning_rate=None, weight_dec

l = layers.Embedding(input_dim=10, output_dim=4, mask_zero=True)
! attention_mask=(ids != 0)[:, None, :]

m = Sequential([layers.Embedding(10, 4, input_length=5), layers.Flatten(), Dense(1)])
! tinyres has no option input_length

l = layers.MultiHeadAttention(num_heads=2, key_dim=2, dropout=0.1)
[w.shape for w in (l(x[None], x[None]), *l(x[None], x[None], return_attention_scores=True))] == [
    (1, 24, 4), (1, 24, 4), (1, 2, 24, 24)]
"""
