// What needs an NVIDIA GPU: attention at each sequence's own length, graphs, streams, memory, the same bits twice.
//
// Nothing here is linked against CUDA or compiled with its headers. libtorch_cuda.so is opened at run time and registers
// itself with libtorch, whose interfaces for any accelerator serve for all but CUDA graphs. Their class has a handful of
// members, which are found by name.

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common.h"

using shim::guard;
using shim::Tensor;

namespace {

// The members of at::cuda::CUDAGraph (ATen/cuda/CUDAGraph.h of 2.11.0). In the ABI of Linux a member function takes the
// object as its first argument.
struct GraphClass {
  void (*construct)(void* graph, bool keep_graph);
  void (*destroy)(void* graph);
  void (*capture_begin)(void* graph, c10::MempoolId_t pool, unsigned mode);
  void (*capture_end)(void* graph);
  void (*replay)(void* graph);
  c10::MempoolId_t (*pool)(void* graph);
};

// cudaStreamCaptureModeThreadLocal: what other threads do with the GPU meanwhile breaks no capture.
constexpr unsigned THREAD_LOCAL = 1;
// The class takes 104 bytes; with room to spare no layout of it has to be copied here.
constexpr size_t GRAPH_BYTES = 1024;

struct Library {
  std::string error;  // Empty if all is there.
  GraphClass graph{};
};

template <class Function>
void find(void* handle, const char* symbol, Function*& function, std::string& error) {
  function = reinterpret_cast<Function*>(dlsym(handle, symbol));
  if (function == nullptr) error = std::string("libtorch_cuda.so has no ") + symbol + ": it is not of libtorch 2.11.0";
}

Library open() {
  Library library;
  // Global, so that libraries which it opens later find its symbols. Never closed: it registers itself for good.
  void* handle = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) {
    library.error = dlerror();
    return library;
  }
  // cuBLAS reads it when it starts: with this workspace a product has the same bits each time, and libtorch refuses to
  // promise them with another. It is what libtorch takes on a Hopper anyway. What the user has set stays.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  GraphClass& graph = library.graph;
  find(handle, "_ZN2at4cuda9CUDAGraphC1Eb", graph.construct, library.error);
  find(handle, "_ZN2at4cuda9CUDAGraphD1Ev", graph.destroy, library.error);
  find(handle, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode", graph.capture_begin,
       library.error);
  find(handle, "_ZN2at4cuda9CUDAGraph11capture_endEv", graph.capture_end, library.error);
  find(handle, "_ZN2at4cuda9CUDAGraph6replayEv", graph.replay, library.error);
  find(handle, "_ZN2at4cuda9CUDAGraph4poolEv", graph.pool, library.error);
  return library;
}

const Library& library() {
  static const Library library = open();
  return library;
}

// Throws unless there is a GPU of that number to work with.
c10::Device device(int index) {
  TORCH_CHECK(library().error.empty(), library().error);
  const int n_gpus = c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
  TORCH_CHECK(n_gpus > 0, "no GPU was found");
  TORCH_CHECK(index >= 0 && index < n_gpus, "there is no cuda:", index, ", only ", n_gpus, " (the first is cuda:0)");
  TORCH_CHECK(at::hasCUDA(),
              "libtorch was asked for CUDA before libtorch_cuda.so was opened, and remembers that there was none: call "
              "`shim::cuda::load` first");
  at::globalContext().lazyInitDevice(at::kCUDA);
  return c10::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

c10::DeviceAllocator& allocator() { return *c10::getDeviceAllocator(at::kCUDA); }

// The stream that recordings on a device are made on: one for all of them, because cuBLAS keeps memory for every stream it
// has worked on. Two recordings at once are an error, which CUDA reports.
c10::Stream recording_stream(c10::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = streams.find(device.index());
  if (known != streams.end()) return known->second;
  const auto stream = c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(device);
  return streams.emplace(device.index(), stream).first->second;
}

// A graph, and while it is being captured the stream it is captured on.
struct Graph {
  explicit Graph(c10::Device on) : device(on) {
    side.emplace(recording_stream(device));
    library().graph.construct(memory, false);
  }
  ~Graph() { library().graph.destroy(memory); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  c10::Device device;
  std::optional<c10::StreamGuard> side;
  alignas(std::max_align_t) unsigned char memory[GRAPH_BYTES];
};

// `Memory` of src/cuda.rs, in bytes.
struct Memory {
  uint64_t allocated, peak_allocated, reserved, peak_reserved, free, total;
};

// `RawSequences` of src/ffi.rs; `used_keys` may be null.
struct Sequences {
  Tensor *query_starts, *key_starts, *used_keys;
  int64_t longest_query, longest_key;
  bool is_causal;
  double scale;
};

}  // namespace

extern "C" {

char* shim_cuda_load() {
  return guard([] { TORCH_CHECK(library().error.empty(), library().error); });
}

// Turns the switch that all operations look at; gives back how it stood.
bool shim_deterministic(bool on) {
  auto& context = at::globalContext();
  const bool before = context.deterministicAlgorithms();
  // Not with warnings in place of errors: attention's backward pass would take the fast way then, and only say so.
  context.setDeterministicAlgorithms(on, /*warn_only=*/false);
  // Memory that is not written is a fault here; to fill it costs time.
  context.setDeterministicFillUninitializedMemory(false);
  return before;
}

char* shim_cuda_check(int index) {
  return guard([&] { device(index); });
}

char* shim_cuda_synchronize(int index) {
  return guard([&] {
    const auto on = device(index);
    c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(on.index());
  });
}

char* shim_cuda_stream(int index, void** result) {
  return guard([&] {
    const auto on = device(index);
    *result = c10::impl::VirtualGuardImpl(at::kCUDA).getStream(on).native_handle();
  });
}

char* shim_cuda_memory(int index, Memory* result) {
  return guard([&] {
    const auto number = device(index).index();
    const auto stats = allocator().getDeviceStats(number);
    const auto [free, total] = allocator().getMemoryInfo(number);
    // Index 0 is the sum over pools of large and of small blocks.
    const auto& allocated = stats.allocated_bytes[0];
    const auto& reserved = stats.reserved_bytes[0];
    const auto bytes = [](int64_t value) { return static_cast<uint64_t>(value); };
    *result = Memory{bytes(allocated.current), bytes(allocated.peak), bytes(reserved.current),
                     bytes(reserved.peak),     free,                  total};
  });
}

char* shim_cuda_reset_peak(int index) {
  return guard([&] {
    const auto on = device(index);
    allocator().resetPeakStats(on.index());
  });
}

char* shim_cuda_empty_cache(int index) {
  return guard([&] {
    device(index);
    allocator().emptyCache();
  });
}

char* shim_graph_begin(int index, Graph* shared, Graph** result) {
  return guard([&] {
    const auto on = device(index);
    // What the capture reads must be there: the side stream waits for no other.
    c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(on.index());
    auto graph = std::make_unique<Graph>(on);
    const auto pool = shared ? library().graph.pool(shared->memory) : c10::MempoolId_t{0, 0};
    try {
      library().graph.capture_begin(graph->memory, pool, THREAD_LOCAL);
    } catch (...) {
      graph->side.reset();
      graph.release();  // Never freed, see `shim_graph_end`.
      throw;
    }
    *result = graph.release();
  });
}

// Whatever comes of it, the stream is again the one from before `shim_graph_begin`.
//
// After an error the graph must not be deleted: a capture that breaks is not signed off with the allocator, which goes
// on asking the graph, by its address, whether an allocation belongs to it.
char* shim_graph_end(Graph* graph) {
  char* error = guard([&] { library().graph.capture_end(graph->memory); });
  graph->side.reset();
  return error;
}

char* shim_graph_replay(Graph* graph) {
  return guard([&] { library().graph.replay(graph->memory); });
}

void shim_graph_delete(Graph* graph) { delete graph; }

char* shim_flash(Tensor* query, Tensor* key, Tensor* value, Sequences sequences, Tensor** output, Tensor** logsumexp) {
  return guard([&] {
    TORCH_CHECK(query->is_cuda(), "this attention has a kernel for GPUs only, and the query is on ", query->device());
    TORCH_CHECK(!sequences.used_keys || !at::GradMode::is_enabled() ||
                    !(query->requires_grad() || key->requires_grad() || value->requires_grad()),
                "attention over a part of a cache is for inference: its backward pass would take all of the cache");
    auto result = at::_flash_attention_forward(
        *query, *key, *value, *sequences.query_starts, *sequences.key_starts, sequences.longest_query,
        sequences.longest_key, /*dropout_p=*/0.0, sequences.is_causal, /*return_debug_mask=*/false, sequences.scale,
        /*window_size_left=*/std::nullopt, /*window_size_right=*/std::nullopt, shim::optional(sequences.used_keys));
    *output = new Tensor(std::get<0>(result));
    *logsumexp = new Tensor(std::get<1>(result));
  });
}

}  // extern "C"
