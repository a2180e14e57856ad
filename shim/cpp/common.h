// What every function of the C interface does alike: errors become text, pointers become lists of tensors.
//
// A function that can fail returns null, or a message that the caller frees with `shim_free`. A `Tensor*` that comes in
// is borrowed; one that goes out through a `Tensor**` belongs to the caller, who deletes it as the bindings do.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

namespace shim {

using at::Tensor;

// A copy for the other side. Without memory for a message there is no way on; null would mean success.
inline char* message(const char* text) noexcept {
  char* copy = strdup(text);
  if (copy == nullptr) std::abort();
  return copy;
}

// Runs `body`; an exception becomes its message, libtorch's without the trace of C++ calls.
template <class Body>
char* guard(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return message(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return message(error.what());
  } catch (...) {
    return message("an exception of unknown type");
  }
}

inline std::vector<Tensor> list(Tensor* const* tensors, size_t n) {
  std::vector<Tensor> result;
  result.reserve(n);
  for (size_t i = 0; i < n; i++) result.push_back(*tensors[i]);
  return result;
}

inline std::optional<Tensor> optional(Tensor* tensor) {
  return tensor ? std::optional<Tensor>(*tensor) : std::nullopt;
}

}  // namespace shim
