#include "plane_binding.h"

#include <fcntl.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "../core/disk_space.h"
#include "../core/limits.h"
#include "arguments.h"
#include "js_errors.h"
#include "sync_worker.h"

namespace lazuli {
namespace {

constexpr uint64_t THREADS_MAX = 256;
constexpr uint64_t WAITING_READS_MAX = 1U << 20;
constexpr uint64_t ERRNO_MAX = 4095;
/** 24 MiB of a layer's log. */
constexpr uint64_t TOUCHES_MAX = 1U << 20;

uint32_t layerArgument(const Napi::Value& value) {
  return static_cast<uint32_t>(integerArgument(value, "layer", 1, UINT32_MAX));
}

/** First and last unit, both included. */
UnitRange unitsArgument(const Napi::Value& first, const Napi::Value& last) {
  const uint64_t from = integerArgument(first, "firstUnit", 0, UINT32_MAX);
  return {from, integerArgument(last, "lastUnit", from, UINT32_MAX) + 1};
}

/** Undefined: none. Bytes are copied, the descriptor of a file is duplicated. */
SpanWindows windowsArgument(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  if (value.IsTypedArray()) {
    const std::span<const uint8_t> bytes = bytesArgument(value, "windows");
    return {bytes, bytes.size() / WINDOW_BYTES};
  }
  const Napi::Object place = objectArgument(value, "windows");
  const int fd = fcntl(descriptorArgument(place.Get("fd"), "fd"), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "fcntl");
  return {FileDescriptor(fd), integerArgument(place.Get("offset"), "offset", 0, DATA_BYTES_MAX),
          integerArgument(place.Get("count"), "count", 0, UINT32_MAX)};
}

Napi::Value copyBytes(Napi::Env env, const std::vector<uint8_t>& bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}

void setNumber(Napi::Env env, Napi::Object& object, const char* name, uint64_t value) {
  object.Set(name, Napi::Number::New(env, static_cast<double>(value)));
}

Napi::Array missesToJs(Napi::Env env, const std::vector<Miss>& misses) {
  Napi::Array array = Napi::Array::New(env, misses.size());
  for (uint32_t index = 0; index < misses.size(); index++) {
    const Miss& miss = misses[index];
    Napi::Object object = Napi::Object::New(env);
    setNumber(env, object, "layer", miss.layer);
    setNumber(env, object, "firstUnit", miss.firstUnit);
    setNumber(env, object, "lastUnit", miss.lastUnit);
    object.Set("read", Napi::BigInt::New(env, miss.read));
    array.Set(index, object);
  }
  return array;
}

/** Unit, time, wait; and the next one. */
Napi::Value touchesToJs(Napi::Env env, std::span<const Touch> touches) {
  Napi::BigUint64Array array = Napi::BigUint64Array::New(env, touches.size() * 3);
  uint64_t* place = array.Data();
  for (const Touch& touch : touches) {
    *place++ = touch.unit;
    *place++ = touch.at;
    *place++ = touch.waited;
  }
  return array;
}

Napi::Array interruptsToJs(Napi::Env env, const std::vector<uint64_t>& reads) {
  Napi::Array array = Napi::Array::New(env, reads.size());
  for (uint32_t index = 0; index < reads.size(); index++) array.Set(index, Napi::BigInt::New(env, reads[index]));
  return array;
}

Napi::Array damagedToJs(Napi::Env env, const std::vector<Damage>& damaged) {
  Napi::Array array = Napi::Array::New(env, damaged.size());
  for (uint32_t index = 0; index < damaged.size(); index++) {
    Napi::Object object = Napi::Object::New(env);
    setNumber(env, object, "layer", damaged[index].layer);
    setNumber(env, object, "unit", damaged[index].unit);
    array.Set(index, object);
  }
  return array;
}

Napi::Array refusedToJs(Napi::Env env, const std::vector<Refusal>& refused) {
  Napi::Array array = Napi::Array::New(env, refused.size());
  for (uint32_t index = 0; index < refused.size(); index++) {
    Napi::Object object = Napi::Object::New(env);
    setNumber(env, object, "layer", refused[index].layer);
    setNumber(env, object, "reason", static_cast<uint8_t>(refused[index].reason));
    setNumber(env, object, "reads", refused[index].reads);
    array.Set(index, object);
  }
  return array;
}

}  // namespace

void PlaneBinding::define(Napi::Env env, Napi::Object exports) {
  exports.Set("Plane", DefineClass(env, "Plane",
                                   {
                                       InstanceMethod<&PlaneBinding::addLayer>("addLayer"),
                                       InstanceMethod<&PlaneBinding::removeLayer>("removeLayer"),
                                       InstanceMethod<&PlaneBinding::openSession>("openSession"),
                                       InstanceMethod<&PlaneBinding::closeSession>("closeSession"),
                                       InstanceMethod<&PlaneBinding::ingest>("ingest"),
                                       InstanceMethod<&PlaneBinding::verify>("verify"),
                                       InstanceMethod<&PlaneBinding::failReads>("failReads"),
                                       InstanceMethod<&PlaneBinding::presence>("presence"),
                                       InstanceMethod<&PlaneBinding::sums>("sums"),
                                       InstanceMethod<&PlaneBinding::presentCount>("presentCount"),
                                       InstanceMethod<&PlaneBinding::sync>("sync"),
                                       InstanceMethod<&PlaneBinding::evict>("evict"),
                                       InstanceMethod<&PlaneBinding::punch>("punch"),
                                       InstanceMethod<&PlaneBinding::lastUses>("lastUses"),
                                       InstanceMethod<&PlaneBinding::bytesOnDisk>("bytesOnDisk"),
                                       InstanceMethod<&PlaneBinding::isDataShared>("isDataShared"),
                                       InstanceMethod<&PlaneBinding::limitWorkers>("limitWorkers"),
                                       InstanceMethod<&PlaneBinding::startTouches>("startTouches"),
                                       InstanceMethod<&PlaneBinding::takeTouches>("takeTouches"),
                                       InstanceMethod<&PlaneBinding::waitingTouches>("waitingTouches"),
                                       InstanceMethod<&PlaneBinding::stopTouches>("stopTouches"),
                                       InstanceMethod<&PlaneBinding::stats>("stats"),
                                       InstanceMethod<&PlaneBinding::park>("park"),
                                       InstanceMethod<&PlaneBinding::close>("close"),
                                   }));
}

PlaneBinding::PlaneBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PlaneBinding>(info) {
  guarded(info.Env(), [&] {
    construct(info.Env(), objectArgument(info[0], "options"));
    return info.Env().Undefined();
  });
}

PlaneBinding::~PlaneBinding() {
  shutDown();
}

void PlaneBinding::construct(Napi::Env env, const Napi::Object& options) {
  const uint64_t fuseThreads = integerArgument(options.Get("fuseThreads"), "fuseThreads", 1, THREADS_MAX);
  const uint64_t workerThreads = integerArgument(options.Get("workerThreads"), "workerThreads", 1, THREADS_MAX);
  const uint64_t waitingReadsMax =
      integerArgument(options.Get("waitingReadsMax"), "waitingReadsMax", 1, WAITING_READS_MAX);
  onMiss_ = Napi::Persistent(functionArgument(options.Get("onMiss"), "onMiss"));
  onInterrupt_ = Napi::Persistent(functionArgument(options.Get("onInterrupt"), "onInterrupt"));
  onDamaged_ = Napi::Persistent(functionArgument(options.Get("onDamaged"), "onDamaged"));
  onRefused_ = Napi::Persistent(functionArgument(options.Get("onRefused"), "onRefused"));
  // The queue holds one wake-up at most: the events say when there is something to take.
  wake_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "lazuli-events",
                                        0, 1);
  plane_ = std::make_unique<Plane>(Plane::Options{fuseThreads, workerThreads, waitingReadsMax, [this] {
    wake_.NonBlockingCall([this](Napi::Env callEnv, const Napi::Function&) { deliver(callEnv); });
  }});
  Ref();
  napi_add_env_cleanup_hook(env, onEnvironmentEnd, this);
}

Plane& PlaneBinding::open() {
  if (plane_ == nullptr || isClosed_) throw std::logic_error("The plane is closed");
  return *plane_;
}

Napi::Value PlaneBinding::addLayer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object options = objectArgument(info[0], "options");
    const Napi::Value meta = options.Get("metaFd");
    const bool hasMeta = !meta.IsNumber() || meta.As<Napi::Number>().Int32Value() != -1;
    const Napi::Value sums = options.Get("sums");
    open().addLayer({
        static_cast<uint32_t>(integerArgument(options.Get("number"), "number", 1, UINT32_MAX)),
        descriptorArgument(options.Get("dataFd"), "dataFd"),
        bytesArgument(options.Get("units"), "units"),
        bytesArgument(options.Get("present"), "present"),
        sums.IsUndefined() ? std::span<const uint8_t>{} : bytesArgument(sums, "sums"),
        windowsArgument(options.Get("windows")),
        hasMeta ? descriptorArgument(meta, "metaFd") : -1,
    });
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::removeLayer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    open().removeLayer(layerArgument(info[0]));
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::openSession(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object options = objectArgument(info[0], "options");
    const uint32_t id = open().openSession({
        static_cast<SessionKind>(integerArgument(options.Get("kind"), "kind", 0, 1)),
        static_cast<uint32_t>(integerArgument(options.Get("layer"), "layer", 0, UINT32_MAX)),
        descriptorArgument(options.Get("fuseFd"), "fuseFd"),
        booleanArgument(options.Get("adopted"), "adopted"),
    });
    return Napi::Number::New(info.Env(), id);
  });
}

Napi::Value PlaneBinding::closeSession(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    open().closeSession(static_cast<uint32_t>(integerArgument(info[0], "session", 1, UINT32_MAX)));
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::ingest(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object options = objectArgument(info[0], "options");
    const Napi::Value bytes = options.Get("bytes");
    const uint64_t task = open().ingest(layerArgument(options.Get("layer")),
                                        unitsArgument(options.Get("firstUnit"), options.Get("lastUnit")),
                                        bytesArgument(bytes, "bytes"),
                                        integerArgument(options.Get("blobOffset"), "blobOffset", 0, DATA_BYTES_MAX));
    // The completion is delivered by this thread, so not before this is kept.
    Pending pending{Napi::Promise::Deferred::New(info.Env()), Napi::Persistent(bytes.As<Napi::Object>())};
    const Napi::Value promise = pending.promise.Promise();
    pending_.emplace(task, std::move(pending));
    return promise;
  });
}

Napi::Value PlaneBinding::verify(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return taskPromise(info.Env(), open().verify(layerArgument(info[0]), unitsArgument(info[1], info[2])));
  });
}

Napi::Value PlaneBinding::taskPromise(Napi::Env env, uint64_t task) {
  Pending pending{Napi::Promise::Deferred::New(env), {}};
  const Napi::Value promise = pending.promise.Promise();
  pending_.emplace(task, std::move(pending));
  return promise;
}

Napi::Value PlaneBinding::failReads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::unordered_set<uint64_t> reads = namesArgument(info[0], "reads");
    open().failReads(reads, static_cast<int>(integerArgument(info[1], "errno", 1, ERRNO_MAX)));
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::presence(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return copyBytes(info.Env(), open().layer(layerArgument(info[0]))->presence()); });
}

Napi::Value PlaneBinding::sums(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return copyBytes(info.Env(), open().layer(layerArgument(info[0]))->sums()); });
}

Napi::Value PlaneBinding::presentCount(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const size_t count = open().layer(layerArgument(info[0]))->presentCount();
    return Napi::Number::New(info.Env(), static_cast<double>(count));
  });
}

Napi::Value PlaneBinding::sync(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto* worker = new SyncWorker(info.Env(), open().layer(layerArgument(info[0])));
    const Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  });
}

Napi::Value PlaneBinding::evict(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Layer> layer = open().layer(layerArgument(info[0]));
    const UnitRange units = unitsArgument(info[1], info[2]);
    if (units.end > layer->units().count()) throw std::out_of_range("Cannot evict: the units must exist");
    std::vector<uint8_t> evicted(units.end - units.first);
    for (size_t unit = units.first; unit < units.end; unit++) evicted[unit - units.first] = layer->evict(unit) ? 1 : 0;
    return copyBytes(info.Env(), evicted);
  });
}

Napi::Value PlaneBinding::punch(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return taskPromise(info.Env(), open().punch(layerArgument(info[0]), unitsArgument(info[1], info[2])));
  });
}

Napi::Value PlaneBinding::lastUses(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<double> times = open().layer(layerArgument(info[0]))->lastUses().list();
    Napi::Float64Array array = Napi::Float64Array::New(info.Env(), times.size());
    for (size_t group = 0; group < times.size(); group++) array[group] = times[group];
    return array;
  });
}

Napi::Value PlaneBinding::bytesOnDisk(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint64_t bytes = lazuli::bytesOnDisk(open().layer(layerArgument(info[0]))->dataFd());
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  });
}

Napi::Value PlaneBinding::isDataShared(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), isOpenElsewhere(open().layer(layerArgument(info[0]))->dataFd()));
  });
}

Napi::Value PlaneBinding::limitWorkers(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    open().limitWorkers(static_cast<size_t>(integerArgument(info[0], "workers", 1, THREADS_MAX)));
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::startTouches(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::shared_ptr<Layer> layer = open().layer(layerArgument(info[0]));
    layer->touches().start(layer->units().count(), integerArgument(info[1], "max", 1, TOUCHES_MAX));
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::takeTouches(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return touchesToJs(info.Env(), open().layer(layerArgument(info[0]))->touches().take()); });
}

Napi::Value PlaneBinding::waitingTouches(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return touchesToJs(info.Env(), open().waitingTouches(layerArgument(info[0]))); });
}

Napi::Value PlaneBinding::stopTouches(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    open().layer(layerArgument(info[0]))->touches().stop();
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::stats(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    Plane& plane = open();
    const Stats& stats = plane.stats();
    Napi::Object object = Napi::Object::New(env);
    setNumber(env, object, "lookups", stats.lookups);
    setNumber(env, object, "getattrs", stats.getattrs);
    setNumber(env, object, "opens", stats.opens);
    setNumber(env, object, "reads", stats.reads);
    setNumber(env, object, "readdirs", stats.readdirs);
    setNumber(env, object, "xattrs", stats.xattrs);
    setNumber(env, object, "others", stats.others);
    setNumber(env, object, "bytesServed", stats.bytesServed);
    setNumber(env, object, "misses", stats.misses);
    setNumber(env, object, "waitingReads", plane.waitingReads());
    setNumber(env, object, "failedReads", stats.failedReads);
    setNumber(env, object, "unitsStored", stats.unitsStored);
    setNumber(env, object, "unitsCorrupt", stats.unitsCorrupt);
    setNumber(env, object, "unitsDamaged", stats.unitsDamaged);
    return object;
  });
}

Napi::Value PlaneBinding::park(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    open().park();
    return info.Env().Undefined();
  });
}

Napi::Value PlaneBinding::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (plane_ == nullptr || isClosed_) return info.Env().Undefined();
    napi_remove_env_cleanup_hook(info.Env(), onEnvironmentEnd, this);
    shutDown();
    EventBatch batch = plane_->takeEvents();
    settle(info.Env(), batch);
    wake_.Abort();
    Unref();
    return info.Env().Undefined();
  });
}

void PlaneBinding::deliver(Napi::Env env) {
  if (isClosed_) return;
  EventBatch batch = plane_->takeEvents();
  // In the order in which they can only have happened: damage comes before the miss that it causes.
  if (!batch.damaged.empty()) callBack(env, onDamaged_, damagedToJs(env, batch.damaged));
  if (!batch.misses.empty()) callBack(env, onMiss_, missesToJs(env, batch.misses));
  if (!batch.interrupts.empty()) callBack(env, onInterrupt_, interruptsToJs(env, batch.interrupts));
  if (!batch.refused.empty()) callBack(env, onRefused_, refusedToJs(env, batch.refused));
  settle(env, batch);
}

void PlaneBinding::settle(Napi::Env env, EventBatch& batch) {
  for (const Completion& completion : batch.completions) {
    const auto found = pending_.find(completion.task);
    if (found == pending_.end()) continue;
    const Pending pending = std::move(found->second);
    pending_.erase(found);
    pending.promise.Resolve(copyBytes(env, completion.outcomes));
  }
}

void PlaneBinding::callBack(Napi::Env env, const Napi::FunctionReference& callback, const Napi::Array& items) {
  callback.Call({items});
  // What a callback throws must not keep the other events back: it goes the way of an uncaught exception.
  if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
}

void PlaneBinding::shutDown() {
  if (plane_ == nullptr || isClosed_) return;
  isClosed_ = true;
  plane_->close();
}

void PlaneBinding::onEnvironmentEnd(void* self) {
  static_cast<PlaneBinding*>(self)->shutDown();
}

}  // namespace lazuli
