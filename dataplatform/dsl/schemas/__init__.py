"""The schema files of all kinds of record, and the module that derives them from the types."""

from dataplatform.dsl.schemas.files import FOLDER, schema_files, write_schemas

__all__ = ["FOLDER", "schema_files", "write_schemas"]
