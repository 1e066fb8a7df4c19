#include "plane.h"

#include <fcntl.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "flat_file_system.h"
#include "tree_file_system.h"

namespace lazuli {
namespace {

int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), call);
  return result;
}

}  // namespace

Plane::Plane(Options options)
    : events_(std::move(options.wake)),
      workers_(options.workerThreads),
      reads_({workers_, events_, stats_, options.waitingReadsMax}),
      jobs_({workers_, events_, reads_, stats_}),
      dispatcher_(reads_, stats_),
      loop_(options.fuseThreads, dispatcher_) {}

Plane::~Plane() {
  close();
}

void Plane::addLayer(LayerOptions options) {
  UnitTable units(options.units);
  FileDescriptor data(checked(fcntl(options.dataFd, F_DUPFD_CLOEXEC, 0), "fcntl"));
  std::unique_ptr<ErofsImage> image;
  if (options.metaFd >= 0) {
    const int error = ErofsImage::open(options.metaFd, image);
    if (error != 0) throw std::system_error(error, std::generic_category(), "map meta image");
  }
  auto layer = std::make_shared<Layer>(Layer::Options{options.number, std::move(data), std::move(units), options.present,
                                                      options.sums, std::move(options.windows), std::move(image)});
  if (!layers_.add(std::move(layer))) {
    throw std::invalid_argument("Cannot add layer: number " + std::to_string(options.number) + " is taken");
  }
}

void Plane::removeLayer(uint32_t number) {
  const std::shared_ptr<Layer> layer = layers_.remove(number);
  if (layer == nullptr) return;
  layer->markRemoved();
  reads_.failLayer(*layer);
}

std::shared_ptr<Layer> Plane::layer(uint32_t number) const {
  std::shared_ptr<Layer> layer = layers_.find(number);
  if (layer == nullptr) throw std::out_of_range("Layer " + std::to_string(number) + " does not exist");
  return layer;
}

uint32_t Plane::openSession(const SessionOptions& options) {
  std::unique_ptr<FileSystem> files = makeFileSystem(options);
  const int flags = checked(fcntl(options.fuseFd, F_GETFL), "fcntl");
  checked(fcntl(options.fuseFd, F_SETFL, flags | O_NONBLOCK), "fcntl");
  checked(fcntl(options.fuseFd, F_SETFD, FD_CLOEXEC), "fcntl");
  if (options.isAdopted) {
    const int result = FuseSession::askToResend(options.fuseFd);
    if (result < 0) throw std::system_error(-result, std::generic_category(), "write");
  }
  const uint32_t id = ++lastSession_;
  loop_.add(std::make_shared<FuseSession>(id, FileDescriptor(options.fuseFd), std::move(files)));
  return id;
}

std::unique_ptr<FileSystem> Plane::makeFileSystem(const SessionOptions& options) const {
  if (options.kind == SessionKind::flat) return std::make_unique<FlatFileSystem>(layers_);
  std::shared_ptr<Layer> layer = this->layer(options.layer);
  if (layer->image() == nullptr) throw std::invalid_argument("Cannot open session: the layer has no meta image");
  return std::make_unique<TreeFileSystem>(std::move(layer));
}

void Plane::closeSession(uint32_t id) {
  const std::shared_ptr<FuseSession> session = loop_.remove(id);
  if (session != nullptr) reads_.failSession(*session);
}

uint64_t Plane::ingest(uint32_t number, UnitRange units, std::span<const uint8_t> bytes, uint64_t blobOffset) {
  const uint64_t task = ++lastTask_;
  jobs_.ingest({task, layer(number), units, bytes, blobOffset});
  return task;
}

uint64_t Plane::verify(uint32_t number, UnitRange units) {
  const uint64_t task = ++lastTask_;
  jobs_.verify(task, layer(number), units);
  return task;
}

uint64_t Plane::punch(uint32_t number, UnitRange units) {
  const uint64_t task = ++lastTask_;
  jobs_.punch(task, layer(number), units);
  return task;
}

void Plane::park() {
  loop_.stop();
  reads_.abandonAll();
}

void Plane::close() {
  loop_.stop();
  workers_.stop();
  reads_.failAll();
}

}  // namespace lazuli
